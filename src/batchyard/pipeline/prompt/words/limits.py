"""How large what a template makes may become, judged before it is made.

A template can ask for more than any machine has in a dozen characters. Whatever multiplies is
weighed here first: a text of `LARGEST` characters is more than a request may have anyway.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from jinja2.exceptions import SecurityError

LARGEST = 32 * 1024 * 1024
"""Characters of a text, elements of a list."""

LONGEST_NUMBER_BITS = 1 << 16

WIDEST = 10_000
"""Characters that a field of a format, or an indentation, may be wide."""

_FIELD = re.compile(r"%(?:\([^)]*\))?[-+ #0]*(\*|\d+)?(?:\.(\*|\d+))?")


def refuse_growth(operator: str, left: object, right: object) -> None:
    """Raise `SecurityError` when `left operator right` would be too large."""
    if operator == "%" and isinstance(left, (str, bytes)):
        text = left if isinstance(left, str) else left.decode("latin-1")
        refuse_wide(text)
        size = len(text) + text.count("%") * _inside(right)
    elif operator == "*":
        size = _product(left, right)
    elif operator == "**":
        size = _power(left, right)
    else:
        size = _length(left) + _length(right)
    if size > LARGEST:
        raise SecurityError(f"`{operator}` makes something too large")


def refuse_wide(format: str) -> None:
    """Raise `SecurityError` when a field of a `%` format is too wide, or as wide as a value."""
    for widths in _FIELD.findall(format):
        if any(width == "*" or (width and _is_wide(width)) for width in widths):
            raise SecurityError(f"a format has a field wider than {WIDEST:,}")


def joined(pieces: Iterable[Any]) -> str:
    """The texts of `pieces` in one; raises `SecurityError` when they are too long together."""
    texts: list[str] = []
    size = 0
    for piece in pieces:
        text = piece if isinstance(piece, str) else str(piece)
        size += len(text)
        if size > LARGEST:
            raise SecurityError(f"the text is longer than {LARGEST:,} characters")
        texts.append(text)
    return "".join(texts)


def replaced(text: str, old: str, new: str, count: int = -1) -> str:
    """`text.replace`, weighed first."""
    if (len(text) + 1) * len(new) > LARGEST:
        times = text.count(old) if count < 0 else min(text.count(old), count)
        if len(text) + times * (len(new) - len(old)) > LARGEST:
            raise SecurityError(f"`replace` makes more than {LARGEST:,} characters")
    return text.replace(old, new, count)


def _is_wide(width: str) -> bool:
    return len(width) > len(str(WIDEST)) or int(width) > WIDEST


def _length(value: object) -> int:
    return len(value) if isinstance(value, (str, bytes, list, tuple)) else 0


def _inside(value: object) -> int:
    """The text a value puts into one field of a format, at most."""
    if isinstance(value, dict):
        return max(map(_length, value.values()), default=0)
    if isinstance(value, tuple):
        return max(map(_length, value), default=0)
    return _length(value)


def _product(left: object, right: object) -> int:
    if isinstance(left, int) and isinstance(right, int):
        return _number(left.bit_length() + right.bit_length())
    if isinstance(right, int):
        return _length(left) * right
    return _length(right) * left if isinstance(left, int) else 0


def _power(left: object, right: object) -> int:
    if isinstance(left, int) and isinstance(right, int):
        return _number(left.bit_length() * right)
    return 0


def _number(bits: int) -> int:
    """Sizes of numbers are not those of texts: multiplying long ones takes minutes."""
    return LARGEST + 1 if bits > LONGEST_NUMBER_BITS else 0
