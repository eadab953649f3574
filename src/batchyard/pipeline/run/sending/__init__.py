"""From rows that wait to a batch that the server surely has, once."""
