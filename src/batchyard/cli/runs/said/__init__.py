"""What a run says and how it looks: words, views, tables, events."""
