"""Real `kill -9`, and the ledger that audits what is left."""
