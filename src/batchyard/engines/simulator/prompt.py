"""A request as the simulator reads it: what was asked, in an engine's template order."""

from __future__ import annotations

import hashlib
import re
from functools import cached_property
from typing import Any

import msgspec

from batchyard.errors import Rejected

_WORD = re.compile(r"[^\W\d_]{3,}")
_COMMON_WORDS = """
the and for are but not you all any can had her was one our out day get has him his how man new
now old see two way who boy did its let put say she too use that with have this will your from
they know want been good much some time very when come here just like long make many over such
take than them well were what which while would there their about into only other then these
could please answer following each more most also because after before text review reviews
classify question write give tell does should must being both same
"""
_COMMON = frozenset(_COMMON_WORDS.split())
_SEPARATOR = b"\0"


class Prompt:
    """The params of one request, decoded. Raises `Rejected` where a Messages engine would."""

    def __init__(self, params: bytes) -> None:
        try:
            decoded = msgspec.json.decode(params)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise _refused(f"The request body is not valid JSON: {error}") from error
        if not isinstance(decoded, dict):
            raise _refused("The request body must be a JSON object.")
        self.params: dict[str, Any] = decoded
        self._check()

    @cached_property
    def canonical(self) -> bytes:
        """Equal for requests that ask the same, however their JSON was spaced or ordered."""
        asked = {name: value for name, value in self.params.items() if name not in _NOT_ASKED}
        return msgspec.json.encode(asked, order="sorted")

    @cached_property
    def template(self) -> bytes:
        """What an engine would prefill: tools, system and messages, in that order."""
        parts = [msgspec.json.encode(tool, order="sorted") for tool in self._list("tools")]
        parts.append(_text_of(self.params.get("system")).encode("utf-8", "replace"))
        for message in self.params["messages"]:
            content = _text_of(message.get("content")).encode("utf-8", "replace")
            parts.append(str(message.get("role")).encode() + b"\n" + content)
        return _SEPARATOR.join(parts)

    @cached_property
    def question(self) -> str:
        """The text of the last turn of the user."""
        for message in reversed(self.params["messages"]):
            if message.get("role") == "user":
                return _text_of(message.get("content"))
        return ""

    @cached_property
    def subject(self) -> str:
        """The part of the question that differs most between requests: its last paragraph."""
        paragraphs = [part.strip() for part in self.question.split("\n\n") if part.strip()]
        return paragraphs[-1] if paragraphs else self.question

    @cached_property
    def words(self) -> list[str]:
        """The telling words of the question, longest first, each once."""
        seen: dict[str, str] = {}
        for word in _WORD.findall(self.subject[:4_000]) or _WORD.findall(self.question[:4_000]):
            if word.lower() not in _COMMON:
                seen.setdefault(word.lower(), word)
        return sorted(seen.values(), key=lambda word: (-len(word), word))

    @cached_property
    def schema(self) -> dict[str, Any] | None:
        """The JSON schema the answer must follow, if one is asked for."""
        config = self.params.get("output_config")
        form = config.get("format") if isinstance(config, dict) else None
        form = form or self.params.get("output_format")
        schema = form.get("schema") if isinstance(form, dict) else None
        return schema if isinstance(schema, dict) else None

    def forced_tools(self) -> list[dict[str, Any]]:
        """The tools of which one must be used; raises `Rejected` for one that is not there."""
        choice = self.params.get("tool_choice")
        kind = choice.get("type") if isinstance(choice, dict) else None
        tools = [tool for tool in self._list("tools") if isinstance(tool, dict)]
        if kind == "any":
            return tools
        if not isinstance(choice, dict) or kind != "tool":
            return []
        found = [tool for tool in tools if tool.get("name") == choice.get("name")]
        if not found:
            raise _refused(f"Tool '{choice.get('name')}' not found in provided tools")
        return found

    @cached_property
    def room(self) -> int:
        """The most tokens an answer may have; raises `Rejected` for what is no such number."""
        wanted = self.params.get("max_tokens")
        if wanted is None:
            raise _refused("max_tokens: Field required")
        whole = isinstance(wanted, int | float) and wanted == int(wanted)
        if not whole or isinstance(wanted, bool):
            raise _refused("max_tokens: Input should be a valid integer")
        if wanted < 0:
            raise _refused("max_tokens: must be greater than or equal to 0")
        return int(wanted)

    def digest(self, seed: int) -> bytes:
        """32 bytes that depend on what is asked and on `seed` alone."""
        key = seed.to_bytes(16, "big", signed=True)
        return hashlib.blake2b(self.canonical, digest_size=32, key=key).digest()

    def _list(self, name: str) -> list[Any]:
        value = self.params.get(name)
        return value if isinstance(value, list) else []

    def _check(self) -> None:
        messages = self.params.get("messages")
        if messages is None:
            raise _refused("messages: Field required")
        if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
            raise _refused("messages: Input should be a valid list of messages")
        if not messages:
            raise _refused("messages: at least one message is required")


_NOT_ASKED = ("stream", "metadata", "service_tier", "user_profile_id", "inference_geo")


def _text_of(content: object) -> str:
    """The text in a string or in content blocks; what is no text leaves its kind as a word."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    return "\n".join(_text_of_block(block) for block in content if isinstance(block, dict))


def _text_of_block(block: dict[str, Any]) -> str:
    if isinstance(block.get("text"), str):
        return str(block["text"])
    kind = str(block.get("type", ""))
    source = block.get("source")
    if kind == "document" and isinstance(source, dict) and source.get("type") == "text":
        return str(source.get("data", ""))
    if kind == "tool_result":
        return _text_of(block.get("content"))
    if isinstance(source, dict) and isinstance(source.get("data"), str):
        mark = hashlib.blake2b(source["data"].encode(), digest_size=6).hexdigest()
        return f"[{kind} {mark}]"
    return f"[{kind}] " + msgspec.json.encode(block, order="sorted").decode()


def _refused(message: str) -> Rejected:
    return Rejected(message, type="invalid_request_error", status=400)
