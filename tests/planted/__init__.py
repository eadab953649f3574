"""Bugs planted on purpose, one at a time, to see the tests catch each of them."""
