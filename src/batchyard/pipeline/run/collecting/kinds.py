"""Kinds of failure, by which rows are chosen to be asked again."""

from __future__ import annotations

import re

LOST = "lost"
"""There is no answer, or more than one: a server's mistake."""

TOO_LONG = "too_long"

_TOO_LONG = re.compile(
    r"prompt is too long"  # Anthropic: "prompt is too long: 208310 tokens > 200000 maximum"
    r"|exceed\w* (?:the |this |its )?(?:model'?s? )?(?:available |maximum |max )*context"
    r"|context (?:length|limit|size|window)\W.{0,80}(?:exceed|too long|however)"
    r"|(?:exceed|longer than|greater than).{0,60}(?:context (?:length|limit|size|window)"
    r"|maximum model length|max_model_len)"
    r"|maximum context length is \d"  # vLLM, and the Chat Completions API
    r"|context_length_exceeded|exceed_context_size|prompt_too_long"
    r"|input (?:is|was) too (?:large|long)",  # llama.cpp: "input is too large to process"
    re.IGNORECASE | re.DOTALL,
)


def kind_of(error_type: str, message: str) -> str:
    """`too_long` where the message says so, else the API's error type without its `_error`."""
    if _TOO_LONG.search(message):
        return TOO_LONG
    return error_type.removesuffix("_error") or "api"
