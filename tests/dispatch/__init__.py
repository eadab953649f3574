"""What runs next: pure choices as tables, the rest on a held clock."""
