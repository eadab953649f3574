"""Lines of an OpenAI batch as Messages params; what has no counterpart is refused by its path."""

from batchyard.pipeline.source.chat.body import messages_params
from batchyard.pipeline.source.chat.shapes import Untranslatable

__all__ = ["Untranslatable", "messages_params"]
