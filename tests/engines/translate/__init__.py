"""Tests of the translation between Messages and Chat Completions."""
