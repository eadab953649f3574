"""One engine replica at work: limits, tries, verdicts, and what it holds."""
