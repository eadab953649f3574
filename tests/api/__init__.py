"""The HTTP edge, asked in-process over a real store."""
