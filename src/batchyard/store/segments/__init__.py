"""Bytes: the contract for keeping segments, and the ways of keeping it."""
