"""Random create bodies, written the way no serialiser would, and what is true of them."""

from __future__ import annotations

import json
import random
import re
from typing import Any

_TEXTS = (
    "", "a", 'quote " and \\ slash', '{"custom_id":"x","params":{}}', ',{"params":', "é ü 漢字 🎈",
    "line\nend\ttab", "\u2028", "]}", "\x7f", "custom_id", "params",
)  # fmt: skip
_KEYS = ("custom_id", "params", "messages", "a", "é", "")
_SPACES = ("", "", "", "", " ", "\n", "\t", "\r\n", "   ")
_CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def document(chance: random.Random, count: int) -> bytes:
    """A valid body of `count` requests with odd white space, key orders, escapes and nesting."""
    listed = []
    for number in range(count):
        fields = [("custom_id", f"{number}-{'x' * chance.randrange(12)}"), ("params", None)]
        texts = [
            f"{_text(chance, key)}{_space(chance)}:{_space(chance)}"
            + (_text(chance, value) if value else _object(chance, 0))
            for key, value in chance.sample(fields, 2)
        ]
        listed.append(_joined(chance, "{", texts, "}"))
    body = _joined(chance, "[", listed, "]")
    whole = _joined(chance, "{", [f'"requests"{_space(chance)}:{_space(chance)}{body}'], "}")
    return f"{_space(chance)}{whole}{_space(chance)}".encode()


def damaged(chance: random.Random, body: bytes) -> bytes:
    """`body` with a byte or two changed, lost or put in, or cut off."""
    found = bytearray(body)
    for _ in range(chance.randrange(1, 3)):
        place = chance.randrange(len(found))
        match chance.randrange(4):
            case 0:
                del found[place]
            case 1:
                found[place] = chance.choice(b'{}[],:"\\x0 \n\x00\xff')
            case 2:
                found.insert(place, chance.choice(b'{}[],:"\\x0 \n\x00\xff'))
            case _:
                del found[place + 1 :]
    return bytes(found)


def accepted(body: bytes) -> list[tuple[str, Any]] | None:
    """(custom_id, params) of every request by the standard library; None for what is refused."""
    try:
        text = body.decode()
        whole = json.loads(text, parse_constant=_refuse, object_pairs_hook=_once)
    except ValueError:
        return None
    if not isinstance(whole, dict) or list(whole) != ["requests"]:
        return None
    requests = whole["requests"]
    if not isinstance(requests, list) or not requests:
        return None
    found = []
    for request in requests:
        if not isinstance(request, dict) or set(request) != {"custom_id", "params"}:
            return None
        custom_id, params = request["custom_id"], request["params"]
        if not isinstance(custom_id, str) or not _CUSTOM_ID.fullmatch(custom_id):
            return None
        if not isinstance(params, dict):
            return None
        found.append((custom_id, params))
    return found if len({custom_id for custom_id, _ in found}) == len(found) else None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of two `requests` in one object neither is believed; half a surrogate pair has no bytes."""
    json.dumps(pairs, ensure_ascii=False).encode()
    if [key for key, _ in pairs].count("requests") > 1:
        raise ValueError
    return dict(pairs)


def _refuse(name: str) -> None:
    raise ValueError(name)


def _space(chance: random.Random) -> str:
    return chance.choice(_SPACES)


def _joined(chance: random.Random, begin: str, items: list[str], end: str) -> str:
    inner = ",".join(f"{_space(chance)}{item}{_space(chance)}" for item in items)
    return f"{begin}{inner or _space(chance)}{end}"


def _text(chance: random.Random, value: str) -> str:
    written = json.dumps(value, ensure_ascii=chance.random() < 0.5)
    if value and value[0].isalpha() and chance.random() < 0.1:
        return f'"\\u{ord(value[0]):04x}{written[2:]}' if written[1] == value[0] else written
    return written


def _object(chance: random.Random, depth: int) -> str:
    items = [
        f"{_text(chance, chance.choice(_KEYS))}{_space(chance)}:{_space(chance)}"
        + _value(chance, depth + 1)
        for _ in range(chance.randrange(4))
    ]
    return _joined(chance, "{", items, "}")


def _value(chance: random.Random, depth: int) -> str:
    kind = chance.randrange(8 if depth < 5 else 4)
    if kind < 2:
        return _text(chance, chance.choice(_TEXTS))
    if kind < 4:
        return chance.choice(("0", "-1.5e3", "true", "false", "null", "123456789012345678901"))
    if kind < 6:
        return _object(chance, depth)
    return _joined(
        chance, "[", [_value(chance, depth + 1) for _ in range(chance.randrange(4))], "]"
    )
