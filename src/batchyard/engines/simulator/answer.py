"""What a simulator says: content blocks, a stop reason and a token count, from a prompt alone."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import msgspec

from batchyard.engines.simulator.cache import BYTES_PER_TOKEN, tokens
from batchyard.engines.simulator.prompt import Prompt
from batchyard.engines.simulator.schema import Filler
from batchyard.engines.simulator.sense import lean

_PRAISE = ("It sounds pleased", "It is favourable", "It approves")
_COMPLAINT = ("It sounds displeased", "It is critical", "It complains")
_PLAIN = ("It is about", "The gist is", "It comes down to", "In short,", "What matters here is")


@dataclass(frozen=True, slots=True)
class Said:
    """An answer. `output_tokens` never exceeds the `max_tokens` of its request."""

    content: list[dict[str, Any]]
    stop_reason: str
    stop_sequence: str | None
    output_tokens: int


def answer(prompt: Prompt, digest: bytes, length: int) -> Said:
    """The answer to `prompt`: equal for equal prompts, whatever came before.

    `length` is the mean length in tokens of free text, 0 for a sentence.
    """
    seed = int.from_bytes(digest[:8], "big")
    room = prompt.room
    if room == 0:
        return Said([], "max_tokens", None, 0)
    if tools := prompt.forced_tools():
        return _tool_use(prompt, tools[seed % len(tools)], digest, room)
    if (schema := prompt.schema) is not None:
        text = msgspec.json.encode(_filled(prompt, schema, seed)).decode()
    else:
        text = _prose(prompt, random.Random(seed), length)  # noqa: S311 (reproducible)
    return _text(prompt, text, room)


def _filled(prompt: Prompt, schema: dict[str, Any], seed: int) -> Any:
    return Filler(schema, prompt.subject, prompt.words, seed).value()


def _tool_use(prompt: Prompt, tool: dict[str, Any], digest: bytes, room: int) -> Said:
    schema = tool.get("input_schema")
    seed = int.from_bytes(digest[8:16], "big")
    value = _filled(prompt, schema if isinstance(schema, dict) else {"type": "object"}, seed)
    spent = tokens(len(msgspec.json.encode(value))) + 8
    cut = spent > room
    block = {
        "type": "tool_use",
        "id": f"toolu_01{digest[:11].hex()}",
        "name": tool.get("name"),
        "input": {} if cut or not isinstance(value, dict) else value,
    }
    if cut:
        return Said([block], "max_tokens", None, room)
    return Said([block], "tool_use", None, spent)


def _text(prompt: Prompt, text: str, room: int) -> Said:
    """`text` up to the first stop sequence or the last allowed token, whichever comes first."""
    reason, found = "end_turn", None
    stops = prompt.params.get("stop_sequences")
    for stop in stops if isinstance(stops, list) else ():
        if isinstance(stop, str) and stop and stop in text:
            text, reason, found = text[: text.index(stop)], "stop_sequence", stop
    encoded = text.encode()
    if tokens(len(encoded)) > room:
        text = encoded[: room * BYTES_PER_TOKEN].decode(errors="ignore")
        return Said([{"type": "text", "text": text}], "max_tokens", None, room)
    spent = max(1, tokens(len(encoded)))
    return Said([{"type": "text", "text": text}], reason, found, spent)


def _prose(prompt: Prompt, chance: random.Random, length: int) -> str:
    """One sentence in the prompt's own words, or as many as `length` tokens take."""
    words = prompt.words[:12] or ["nothing", "in", "particular"]
    score = lean(prompt.subject)
    opening = chance.choice(_PRAISE if score > 0 else _COMPLAINT if score < 0 else _PLAIN)
    linked = " about" if score else ""
    text = f"{opening}{linked} {_listed(words[:3])}."
    if not length:
        return text
    size = max(1, round(length * chance.uniform(0.5, 1.5))) * BYTES_PER_TOKEN
    while len(text.encode()) < size:
        some = [chance.choice(words) for _ in range(chance.randint(2, 4))]
        text += f" {chance.choice(_PLAIN)} {_listed(some)}."
    return text


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]
