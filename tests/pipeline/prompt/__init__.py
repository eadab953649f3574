"""What is asked of each row: templates, schema, media, keys, answers."""
