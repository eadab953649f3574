"""Messages params into Chat Completions requests, and the answers back: pure functions."""

from batchyard.engines.translate.flavor import FLAVORS, Flavor, flavor_of, models_of
from batchyard.engines.translate.reply import NotACompletion, message
from batchyard.engines.translate.request import ChatRequest, Wanted, chat_request
from batchyard.engines.translate.stream import MessageStream

__all__ = [
    "FLAVORS",
    "ChatRequest",
    "Flavor",
    "MessageStream",
    "NotACompletion",
    "Wanted",
    "chat_request",
    "flavor_of",
    "message",
    "models_of",
]
