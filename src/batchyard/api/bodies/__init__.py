"""Bodies of calls on their way in: unpacked, spooled, checked while they arrive."""
