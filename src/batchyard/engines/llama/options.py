"""What can be said about a `llama:MODEL.gguf,slots=8,context=4096` engine."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from batchyard.errors import ConfigurationError


class LlamaOptions(msgspec.Struct, frozen=True):
    """How to run the model; zero means "as llama.cpp or the machine would have it".

    `slots` requests run at once, each with a context of `context` tokens (prompt and answer) of its
    own. `threads` compute. `cache_ram` MiB keep prompts that were pushed out of their slot.
    `gpu_layers` of the model go to the GPU, if the installed wheel knows one.
    """

    slots: int = 4
    context: int = 8_192
    threads: int = 0
    cache_ram: int | None = None
    gpu_layers: int | None = None


_LEAST = {"slots": 1, "context": 64}


def options_of(pairs: Mapping[str, str]) -> LlamaOptions:
    """The options written as `key=value`. Raises `ConfigurationError` for what is none."""
    found: dict[str, int] = {}
    for name, value in pairs.items():
        if name not in LlamaOptions.__struct_fields__:
            known = ", ".join(LlamaOptions.__struct_fields__)
            raise ConfigurationError(f"engine llama: unknown option {name}; known: {known}")
        least = _LEAST.get(name, 0)
        if not value.isdecimal() or int(value) < least:
            raise ConfigurationError(
                f"engine llama: {name}={value}; it takes a number from {least}"
            )
        found[name] = int(value)
    return LlamaOptions(**found)
