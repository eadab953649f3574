"""The words of a prompt: templates, the sandbox they run in, and how a row's values read there."""
