"""Batchyard: the Message Batches API on your own engines."""

__version__ = "0.1.0"
