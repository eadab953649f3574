"""From a batch that has ended to rows that have: every line to its own row, or told."""
