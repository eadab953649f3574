"""The dispatch room on a held clock."""
