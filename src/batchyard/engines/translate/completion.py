"""The shapes of Chat Completions answers, as far as they are read: whole ones and stream chunks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

# Engines add fields of their own and leave others out: unknown fields are skipped, and everything
# but `choices` may be missing or null.


class Function(msgspec.Struct):
    name: str | None = None
    arguments: str | dict[str, msgspec.Raw] | None = None


class Call(msgspec.Struct):
    """A tool call. `index` is there in streams, where a call arrives in pieces."""

    function: Function | None = None
    id: str | None = None
    index: int | None = None


class Said(msgspec.Struct):
    """A message, or a delta of one. Reasoning goes by two names."""

    content: str | list[Any] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[Call] | None = None

    @property
    def thought(self) -> str:
        return self.reasoning_content or self.reasoning or ""

    @property
    def text(self) -> str:
        """The text, also where an engine sends it as parts."""
        if isinstance(self.content, list):
            return "".join(_text_of(part) for part in self.content)
        return self.content or ""


class Choice(msgspec.Struct):
    """`stop_reason` (vLLM) and `matched_stop` (SGLang) tell which stop string was met."""

    message: Said | None = None
    delta: Said | None = None
    finish_reason: str | None = None
    stop_reason: str | int | None = None
    matched_stop: str | int | list[Any] | None = None


class PromptDetails(msgspec.Struct):
    """Tokens read from the prefix cache, and those written to it (vLLM tells)."""

    cached_tokens: int | None = None
    created_cache_tokens: int | None = None


class CompletionDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class Tokens(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None


class Completion(msgspec.Struct):
    """A whole answer."""

    choices: list[Choice]
    id: str | None = None
    model: str | None = None
    usage: Tokens | None = None


class Chunk(msgspec.Struct):
    """One piece of a streamed answer; `error` where the engine gave up in the middle."""

    choices: list[Choice] = []
    id: str | None = None
    model: str | None = None
    usage: Tokens | None = None
    error: Any = None


def stop_met(choice: Choice, stop_sequences: Sequence[str]) -> str | None:
    """The stop sequence that ended the answer, where the engine tells and it was asked for."""
    for told in (choice.stop_reason, choice.matched_stop):
        if isinstance(told, str) and told in stop_sequences:
            return told
    return None


def _text_of(part: Any) -> str:
    text = part.get("text") if isinstance(part, dict) else None
    return text if isinstance(text, str) else ""
