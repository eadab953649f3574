"""How the catalog's tables came to be: one step per version, run in-process when a store opens."""

VERSIONS = ("0001",)
"""Every schema this program can read or bring forward, oldest first; the last is today's."""
