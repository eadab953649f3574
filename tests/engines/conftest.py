"""Fixtures shared by the engines' tests."""

from tests.tiny_model.serve import llama_server

__all__ = ["llama_server"]
