"""Realistic and nasty requests as raw JSON bytes: what people send, what breaks careless code."""

# ruff: noqa: RUF001 - letters that look like others are the point here

from __future__ import annotations

import base64
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass

_WORDS = (
    "invoice delivery battery screen refund polite broken excellent slow camera warranty",
    "subscription carrier package colour manual charger support replacement discount",
)

_TEXTS = (
    "plain ASCII",
    "naïve café – “quotes” … ½ €",
    "日本語のテキスト、改行\nとタブ\t。",
    "עברית وعربي مع علامات \u200f\u202e",
    "👩‍👩‍👧‍👦 family, 🇺🇳 flag, 👍🏽 skin, 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐍈",
    "combining e\u0301 o\u0308, zero\u200bwidth, bom\ufeff, nbsp\u00a0",
    "line\u2028separator paragraph\u2029end next\u0085line",
    'quotes " backslash \\ slash / braces {"custom_id":"fake","params":{}} ]}',
    "controls \u0001\u001f\u007f and NUL \u0000 inside",
    "windows\r\nline ends\rand old mac",
    "</script><!-- & %s {0} $HOME `rm` ' OR 1=1 --",
    "\ufffd replacement, \uffff noncharacter, \U0010ffff last",
)

_ODD_NUMBERS = (
    b"0.1", b"1e-7", b"1E+2", b"0.30000000000000004", b"1.0", b"-0.0", b"12345678901234567890",
    b"98765432109876543210.5", b"1e22", b"5e-324", b"0.1000000000000000055511151231257827",
)  # fmt: skip

_PNG = base64.b64encode(
    bytes.fromhex(
        "89504e470d0a1a0a0000000d494844520000000100000001080600000 01f15c489".replace(" ", "")
        + "0000000d49444154789c6360000002000001e221bc330000000049454e44ae426082"
    )
).decode()


@dataclass(frozen=True)
class Raw:
    """One request as sent: its params byte for byte, and the last user text as text."""

    custom_id: str
    params: bytes
    text: str

    @property
    def entry(self) -> bytes:
        return b'{"custom_id":"%b","params":%b}' % (self.custom_id.encode(), self.params)


def realistic(count: int, *, model: str, seed: int = 20) -> Iterator[Raw]:
    """`count` different requests over eight long system prompts; every kind of content occurs."""
    dice = random.Random(seed)
    systems = [_prose(dice, 400) for _ in range(8)]
    makers = (_classify, _with_tools, _with_image, _with_document, _tool_round_trip, _numbers)
    for number in range(count):
        text = f"#{number} {_TEXTS[number % len(_TEXTS)]} {_prose(dice, dice.randrange(5, 60))}"
        if number % 1_000 == 500:
            text += _prose(dice, 5) + "é✓" * 200_000
        fields = {"model": model, "max_tokens": dice.choice([16, 256, 4096, 128_000])}
        maker = makers[number % len(makers)]
        yield Raw(f"row_{number:06d}-x", maker(dice, fields, systems[number % 8], text), text)


def body_of(entries: list[Raw]) -> bytes:
    """The create body of these requests."""
    return b'{"requests":[' + b",".join(raw.entry for raw in entries) + b"]}"


def _classify(dice: random.Random, fields: dict[str, object], system: str, text: str) -> bytes:
    """Key order, spacing and escapes as different client libraries write them."""
    keys = [("system", system), ("temperature", 0), ("messages", [_user(text)])]
    keys += list(fields.items())
    dice.shuffle(keys)
    style = dice.randrange(3)
    return json.dumps(
        dict(keys),
        ensure_ascii=style == 0,
        separators=(",", ":") if style else (", ", ": "),
    ).encode()


def _with_tools(dice: random.Random, fields: dict[str, object], system: str, text: str) -> bytes:
    tool = {
        "name": "record_label",
        "description": "Label 🏷 one review.",
        "input_schema": {
            "type": "object",
            "properties": {"label": {"enum": ["good", "bad"]}, "why": {"type": "string"}},
            "required": ["label"],
        },
    }
    forced = {"type": "tool", "name": tool["name"]}
    choice = dice.choice([{"type": "auto"}, {"type": "any"}, forced])
    asked = {"tools": [tool], "tool_choice": choice, "messages": [_user(text)]}
    return _compact({**fields, "system": system, **asked})


def _with_image(dice: random.Random, fields: dict[str, object], system: str, text: str) -> bytes:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": _PNG}}
    blocks = [image, {"type": "text", "text": text}]
    return _compact({**fields, "system": system, "messages": [{"role": "user", "content": blocks}]})


def _with_document(dice: random.Random, fields: dict[str, object], system: str, text: str) -> bytes:
    source = dice.choice(
        [
            {"type": "base64", "media_type": "application/pdf", "data": pdf(text[:40])},
            {"type": "text", "media_type": "text/plain", "data": _prose(dice, 50)},
        ]
    )
    document = {"type": "document", "source": source, "title": "Beleg № 7"}
    system_blocks = [{"type": "text", "text": system, "cache_control": {"type": "ephemeral"}}]
    content = [document, {"type": "text", "text": text}]
    return _compact(
        {**fields, "system": system_blocks, "messages": [{"role": "user", "content": content}]}
    )


def _tool_round_trip(
    dice: random.Random, fields: dict[str, object], system: str, text: str
) -> bytes:
    use = {
        "type": "tool_use",
        "id": "toolu_1",
        "name": "look_up",
        "input": {"π": [1, {"deep": None}]},
    }
    answer = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "42", "is_error": False}
    messages = [
        _user("What is it?"),
        {"role": "assistant", "content": [{"type": "text", "text": "Looking."}, use]},
        {"role": "user", "content": [answer, {"type": "text", "text": text}]},
    ]
    tools = [{"name": "look_up", "input_schema": {"type": "object"}}]
    return _compact(
        {"messages": messages, "tools": tools, **fields, "stop_sequences": ["\n\nEND", "✋"]}
    )


def _numbers(dice: random.Random, fields: dict[str, object], system: str, text: str) -> bytes:
    """What a careless decode and encode would change: big integers, floats, repeated keys."""
    whole = _compact({**fields, "system": system, "messages": [_user(text)]})
    numbers = (dice.choice(_ODD_NUMBERS), dice.choice(_ODD_NUMBERS))
    extra = (
        b',"temperature":0.5,"top_p":0.90,"metadata":{"user_id":"a\\/b\\u00e9"},"tools":[{"name":"t",'
        b'"input_schema":{"type":"object","properties":{"x":{"minimum":%b,"minimum":%b}}}}]}'
    )
    return b"  " * dice.randrange(2) + whole[:-1] + extra % numbers


def pdf(title: str) -> str:
    """A one-page PDF in base64."""
    text = "".join(letter for letter in title if letter.isascii() and letter.isalnum())
    stream = f"BT /F1 12 Tf 10 10 Td ({text}) Tj ET"
    return base64.b64encode(
        (
            "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
            "2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
            "3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 50]/Contents 4 0 R"
            "/Resources<</Font<</F1<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>>>endobj\n"
            f"4 0 obj<</Length {len(stream)}>>stream\n{stream}\nendstream endobj\n"
            "trailer<</Root 1 0 R>>\nstartxref\n0\n%%EOF\n"
        ).encode()
    ).decode()


def _user(text: str) -> dict[str, object]:
    return {"role": "user", "content": text}


def _prose(dice: random.Random, words: int) -> str:
    known = " ".join(_WORDS).split()
    return " ".join(dice.choice(known) for _ in range(words))


def _compact(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
