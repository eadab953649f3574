"""What is remembered: a catalog of few small rows, and segments of bytes. Bytes before rows."""
