"""How a row's values read inside a prompt: as text, and as JSON where they have parts.

No value (None, NaN) is empty text, numbers and dates read as they are written, `true` and `false`
as in JSON, lists and objects as compact JSON.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from decimal import Decimal

import msgspec
from jinja2 import Undefined


class Nothing(Undefined):
    """A cell without a value: empty as text, false, `none`, and what `default(…)` replaces.

    Whatever needs a value, such as arithmetic, raises `jinja2.UndefinedError`.
    """

    __slots__ = ()

    @property
    def _undefined_message(self) -> str:
        return f"there is no value in {self._undefined_name}"

    def __eq__(self, other: object) -> bool:
        return other is None or isinstance(other, Nothing)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(None)


def seen(value: object, name: str) -> object:
    """What a template gets for the cell `value` of the column `name`."""
    return Nothing(name=name) if value is None or _is_nan(value) else value


def _is_nan(value: object) -> bool:
    """NaN, in whatever kind of number, is what does not equal itself."""
    return isinstance(value, (float, Decimal)) and value != value  # noqa: PLR0124 (that is NaN)


def as_text(value: object) -> object:
    """What `{{ value }}` prints. Raises `TypeError` for bytes, which are no text."""
    if type(value) is str:
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (float, Decimal)):
        return "" if _is_nan(value) else str(value)
    if isinstance(value, (dict, list, tuple)):
        return as_json(value)
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray, memoryview)):
        raise TypeError("bytes are not text")
    if isinstance(value, Iterator):
        return as_json(list(value))
    return str(value)


def as_json(value: object) -> str:
    """Compact JSON of `value`; NaN and what has no value are null. Raises `TypeError`."""
    try:
        return _encoder.encode(value).decode()
    except RecursionError as error:
        raise TypeError("a value is nested too deeply") from error


def _strange(value: object) -> object:
    """What JSON has no word for: nothing is null, everything else its text."""
    return None if isinstance(value, Nothing) else as_text(value)


_encoder = msgspec.json.Encoder(enc_hook=_strange)


def is_valid_text(value: object) -> bool:
    """Whether every string inside `value` can be written as UTF-8 (no lone surrogates)."""
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        return False
    except (ValueError, TypeError, RecursionError):
        return True
    return True
