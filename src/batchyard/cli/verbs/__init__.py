"""One file for each noun: a verb parses its options, asks, and says what came of it."""
