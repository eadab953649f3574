"""Create bodies that nobody invited: those that must be refused, and those that only look odd."""

from __future__ import annotations

import json
from collections.abc import Callable

Body = bytes | Callable[[], bytes]
"""The bytes, or how to make them where they are too many to keep."""

REQUESTS_MAX = 100_000
BYTES_MAX = 268_435_456

_PARAMS = b'{"model":"%b","max_tokens":8,"messages":[{"role":"user","content":"hi"}]%b}'
MODEL = b"simulator-1"


def params(*, extra: bytes = b"", model: bytes = MODEL) -> bytes:
    """Good params with `extra` (", name: value") put in at the end."""
    return _PARAMS % (model, extra)


def entry(custom_id: bytes, asked: bytes | None = None) -> bytes:
    """One entry; `custom_id` as JSON text."""
    return b'{"custom_id":%b,"params":%b}' % (custom_id, asked or params())


def body(*entries: bytes) -> bytes:
    """The create body of these entries."""
    return b'{"requests":[' + b",".join(entries) + b"]}"


def with_extra(value: bytes) -> bytes:
    """One request whose params hold `value`."""
    return body(entry(b'"a"', params(extra=b',"metadata":{"user_id":"u"},"x":' + value)))


def with_id(custom_id: bytes) -> bytes:
    """A good request followed by one with this custom_id."""
    return body(entry(b'"good"'), entry(custom_id))


GOOD = body(entry(b'"a"'))
_DEEP = 200_000

REFUSED: dict[str, Body] = {
    "nothing": b"",
    "blanks": b" \r\n\t",
    "no JSON": b"custom_id=a&params=b",
    "one character": b"x",
    "cut JSON": GOOD[:-1],
    "cut in a string": GOOD[:30],
    "trailing bytes": GOOD + b"x",
    "trailing body": GOOD + GOOD,
    "trailing NUL": GOOD + b"\0",
    "top is an array": b"[" + entry(b'"a"') + b"]",
    "top is a string": b'"requests"',
    "top is a number": b"5",
    "top is null": b"null",
    "JSON Lines": entry(b'"a"') + b"\n" + entry(b'"b"') + b"\n",
    "invalid UTF-8": with_extra(b'"\xff\xfe"'),
    "overlong UTF-8": with_extra(b'"\xc0\xaf"'),
    "surrogates as UTF-8": with_extra(b'"\xed\xa0\x80"'),
    "UTF-16": GOOD.decode().encode("utf-16"),
    "UTF-16 without a mark": GOOD.decode().encode("utf-16-le"),
    "UTF-32": GOOD.decode().encode("utf-32"),
    "NUL in a string": with_extra(b'"a\0b"'),
    "NULs only": b"\0" * 100_000,
    "NUL between tokens": GOOD.replace(b",", b",\0", 1),
    "200,000 open brackets": b"[" * _DEEP,
    "nested arrays": with_extra(b"[" * _DEEP + b"]" * _DEEP),
    "nested objects": with_extra(b'{"a":' * _DEEP + b"1" + b"}" * _DEEP),
    "nested around": b'{"requests":' * _DEEP,
    "integer of 100,000 digits": with_extra(b"9" * 100_000),
    "negative integer of 100,000 digits": with_extra(b"[-" + b"1" * 100_000 + b"]"),
    "max_tokens of 100,000 digits": GOOD.replace(b":8,", b":%b," % (b"8" * 100_000)),
    "requests of 100,000 digits": b'{"requests":' + b"9" * 100_000 + b"}",
    "custom_id of 100,000 digits": with_id(b"9" * 100_000),
    "NaN": with_extra(b"NaN"),
    "Infinity": with_extra(b"Infinity"),
    "-Infinity": with_extra(b"[1,-Infinity]"),
    "nan as max_tokens": GOOD.replace(b":8,", b":nan,"),
    "no requests": b"{}",
    "empty requests": b'{"requests":[]}',
    "null requests": b'{"requests":null}',
    "requests an object": b'{"requests":{"custom_id":"a","params":{}}}',
    "requests a string": b'{"requests":"all"}',
    "requests twice": GOOD[:-1] + b',"requests":[]}',
    "another field": GOOD[:-1] + b',"stream":true}',
    "a field of an entry": body(entry(b'"a"')[:-1] + b',"method":"POST"}'),
    "100,001 requests": lambda: body(*(entry(b'"r%d"' % n) for n in range(REQUESTS_MAX + 1))),
    "duplicate custom_id": with_id(b'"good"'),
    "duplicate by an escape": with_id(b'"g\\u006fod"'),
    "empty custom_id": with_id(b'""'),
    "65 characters": with_id(b'"%b"' % (b"x" * 65)),
    "1 MB custom_id": with_id(b'"%b"' % (b"x" * 1_000_000)),
    "null custom_id": with_id(b"null"),
    "number custom_id": with_id(b"7"),
    "list custom_id": with_id(b'["a"]'),
    "object custom_id": with_id(b'{"a":"b"}'),
    "true custom_id": with_id(b"true"),
    "accented custom_id": with_id(json.dumps("é", ensure_ascii=False).encode()),
    "full-width custom_id": with_id(b'"\\uff41"'),
    "blank custom_id": with_id(b'" "'),
    "path custom_id": with_id(b'"../../etc/passwd"'),
    "absolute path custom_id": with_id(b'"/etc/passwd"'),
    "dots custom_id": with_id(b'".."'),
    "HTML custom_id": with_id(b'"<img src=x onerror=alert(1)>"'),
    "NUL custom_id": with_id(b'"a\\u0000"'),
    "line end custom_id": with_id(b'"a\\n"'),
    "custom_id missing": body(entry(b'"a"'), b'{"params":{}}'),
    "params missing": body(entry(b'"a"'), b'{"custom_id":"b"}'),
    "params null": body(entry(b'"a"', b"null")),
    "params a list": body(entry(b'"a"', b"[]")),
    "params a string": body(entry(b'"a"', b'"{}"')),
    "params a number": body(entry(b'"a"', b"0")),
    "params a boolean": body(entry(b'"a"', b"true")),
    "entry a string": body(b'"a"'),
    "entry null": body(b"null"),
}
"""Each is a 400, whatever else it may be."""

ODD: dict[str, bytes] = {
    "lone surrogate": with_extra(b'"\\ud800"'),
    "lone low surrogate in the text": GOOD.replace(b'"hi"', b'"hi \\udc00"'),
    "lone surrogate as a key": GOOD.replace(b'"max_tokens"', b'"\\ud83d":1,"max_tokens"'),
    "surrogates the wrong way round": GOOD.replace(b'"hi"', b'"\\ude00\\ud83d"'),
    "escaped NUL": GOOD.replace(b'"hi"', b'"a\\u0000b"'),
    "escaped NUL in the model": body(entry(b'"a"', params(model=b"m\\u0000"))),
    "escaped NUL as a key": with_extra(b'{"\\u0000":"\\u0000"}'),
    "1e400": with_extra(b"1e400"),
    "1e400 as max_tokens": GOOD.replace(b":8,", b":1e400,"),
    "-1e400 as temperature": GOOD.replace(b":8,", b':8,"temperature":-1e400,'),
    "1e300 as max_tokens": GOOD.replace(b":8,", b":1e300,"),
    "1e-400 as max_tokens": GOOD.replace(b":8,", b":1e-400,"),
    "max_tokens of 5,000 digits": GOOD.replace(b":8,", b":%b," % (b"9" * 5_000)),
    "max_tokens of 400 digits": GOOD.replace(b":8,", b":%b," % (b"9" * 400)),
    "max_tokens of 5,000 decimals": GOOD.replace(b":8,", b":8.%b," % (b"0" * 5_000)),
    "100,000 digits in a string": GOOD.replace(b'"hi"', b'"%b"' % (b"7" * 100_000)),
    "text of 5 MB": GOOD.replace(b'"hi"', b'"%b"' % (b"x" * 5_000_000)),
    "text of 5 MB of quotes": GOOD.replace(b'"hi"', b'"%b"' % (b'\\"' * 2_500_000)),
    "object of a million keys": with_extra(
        b"{%b}" % b",".join(b'"k%d":1' % number for number in range(1_000_000))
    ),
    "metadata of a million keys": GOOD.replace(
        b":8,",
        b':8,"metadata":{%b},' % b",".join(b'"k%d":1' % number for number in range(1_000_000)),
    ),
    "duplicate keys in params": GOOD.replace(b":8,", b':8,"max_tokens":9,'),
    "duplicate messages": GOOD.replace(b":8,", b':8,"messages":[],'),
    "duplicate custom_id keys": b'{"requests":[{"custom_id":"a","custom_id":"b","params":{}}]}',
    "duplicate params keys": b'{"requests":[{"custom_id":"a","params":5,"params":{}}]}',
    "byte order mark": b"\xef\xbb\xbf" + GOOD,
    "byte order mark in the text": GOOD.replace(b'"hi"', b'"\xef\xbb\xbfhi"'),
    "stream:true": GOOD.replace(b":8,", b':8,"stream":true,'),
    "nested 900 deep": with_extra(b"[" * 900 + b"]" * 900),
    "content nested 900 deep": GOOD.replace(
        b'"hi"', b'[{"type":"text","text":"hi","x":%b1%b}]' % (b"[" * 900, b"]" * 900)
    ),
    "line separators": GOOD.replace(b'"hi"', b'"\xe2\x80\xa8\xe2\x80\xa9\\u2028\\r\\n"'),
    "noncharacters": GOOD.replace(b'"hi"', b'"\xef\xbf\xbf\xf4\x8f\xbf\xbf\\uffff"'),
    "params empty": body(entry(b'"a"', b"{}")),
    "wrong everywhere": body(
        entry(b'"a"', b'{"model":[],"max_tokens":"8","messages":{"role":7},"tools":5,"system":1}')
    ),
}
"""Each is taken or refused, and never a 500 or a broken line."""


def made(body: Body) -> bytes:
    """The bytes of a body."""
    return body if isinstance(body, bytes) else body()
