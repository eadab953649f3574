"""Values as text and as JSON, for formats that have no type of their own for them."""

from __future__ import annotations

import base64
import json

import msgspec


def json_of(value: object) -> bytes:
    """JSON of a value of a row: NaN is null, bytes are base64, half a surrogate pair is U+FFFD."""
    try:
        return msgspec.json.encode(value, enc_hook=_hook)
    except UnicodeEncodeError:
        return msgspec.json.encode(mended(value), enc_hook=_hook)
    except OverflowError:
        # An integer of more digits than Python writes at once, or that msgspec takes.
        return json.dumps(value, default=str).encode()


def text_of(value: object) -> str:
    """A value as the text of one cell: dates in ISO form, bytes in base64, structures as JSON."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list | tuple):
        return json_of(value).decode()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(value.isoformat()) if hasattr(value, "isoformat") else str(value)


def mended(value: object) -> object:
    """`value` with U+FFFD for each half of a surrogate pair in its texts."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {mended(key): mended(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [mended(inner) for inner in value]
    return value


def _hook(value: object) -> object:
    """Numbers and arrays of other libraries as Python has them, all else as text."""
    way = getattr(value, "tolist", None)
    return way() if callable(way) else text_of(value)
