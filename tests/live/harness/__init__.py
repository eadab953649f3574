"""What outside tests stand on: servers as processes, plain HTTP calls, waiting, a corpus."""
