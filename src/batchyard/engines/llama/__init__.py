"""llama.cpp without a server of your own: a GGUF file, run by a child of this process."""

from batchyard.engines.llama.engine import LlamaEngine
from batchyard.engines.llama.options import LlamaOptions, options_of

__all__ = ["LlamaEngine", "LlamaOptions", "options_of"]
