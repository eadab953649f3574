"""Fixtures shared by the engines' tests."""

from tests.engines.chat import chat_engine, chat_upstream
from tests.engines.llamas import llama
from tests.tiny_model.serve import llama_server

__all__ = ["chat_engine", "chat_upstream", "llama", "llama_server"]
