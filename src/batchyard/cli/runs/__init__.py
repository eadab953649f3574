"""What the verbs of a run share: options, words, progress, and the way from a file to a file."""
