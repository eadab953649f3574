"""The options of a run's verbs: declared, read, and put together to one value."""
