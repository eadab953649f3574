"""A run, against a server in the same process that can do everything wrong."""
