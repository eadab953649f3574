"""The client from outside: a server that answers by a script, and what came of it."""
