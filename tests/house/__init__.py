"""The house itself: imports, sizes, names, words, and papers that match the building."""
