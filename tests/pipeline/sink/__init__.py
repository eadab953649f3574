"""Sinks: what is written is what was given, whole or not at all."""
