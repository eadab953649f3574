"""The user's side of a dataset: rows in, prompts out to a server, answers back in their order."""
