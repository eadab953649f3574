"""The command line as a shell sees it: arguments in, two streams and an exit code out."""
