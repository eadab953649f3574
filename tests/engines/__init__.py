"""Tests of the engines: dialects, translation, and real engines on this machine."""
