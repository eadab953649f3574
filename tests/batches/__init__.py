"""The laws of batches, exhaustively."""
