"""The verbs of a run: their options, what they print, and a file labelled from end to end."""
