"""Outside proof: real `batchyard serve` processes, real clients, real engines."""
