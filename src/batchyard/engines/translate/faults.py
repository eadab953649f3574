"""Faults of a request as its owner reads them: the path of the field, then what is wrong."""

from __future__ import annotations

import re
from typing import NoReturn, TypeVar

import msgspec

from batchyard import wire
from batchyard.engines.translate.params import HOSTED_BLOCKS
from batchyard.errors import Rejected

Shaped = TypeVar("Shaped")

_WHERE = re.compile(r"^(.*?)(?: - at `\$([^`]*)`)?$", re.DOTALL)
_STEP = re.compile(r"\[(\d+|\.\.\.)\]")
_MISSING = re.compile(r"Object missing required field `([^`]*)`$")
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`$", re.DOTALL)
_VALUE = re.compile(r"Invalid (?:enum )?value '(.*)'$", re.DOTALL)


def reject(path: str, why: str) -> NoReturn:
    """Refuse the request for what stands at `path` (`messages.0.content.1`)."""
    raise Rejected(f"{path}: {why}" if path else why, type="invalid_request_error")


def decoded(decoder: msgspec.json.Decoder[Shaped], raw: bytes, prefix: str = "") -> Shaped:
    """`raw` in the decoder's shape. Raises `Rejected` naming the path; `prefix` stands before it.

    The words are those of the hosted API where it is known to have some. Text that no JSON may
    hold (lone surrogates) is mended rather than refused: U+FFFD stands where the damage was.
    """
    try:
        return _decoded(decoder, raw)
    except msgspec.ValidationError as error:
        reject(*_explained(str(error), prefix))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        reject(prefix, f"not valid JSON text: {error}")
    except RecursionError:
        reject(prefix, "nested too deeply")


def _decoded(decoder: msgspec.json.Decoder[Shaped], raw: bytes) -> Shaped:
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError):
        return decoder.decode(wire.mended(raw))


def _explained(text: str, prefix: str) -> tuple[str, str]:
    """The path and the sentence for what msgspec says of a value that has the wrong shape."""
    found = _WHERE.match(text)
    assert found is not None
    what, where = found[1], found[2] or ""
    steps = [step for step in _STEP.sub(r".\1", where).split(".") if step]
    path = ".".join(filter(None, [prefix, *steps]))
    if missing := _MISSING.search(what):
        return _below(path, missing[1]), "Field required"
    if unknown := _UNKNOWN.search(what):
        return _below(path, unknown[1]), "Extra inputs are not permitted"
    if (value := _VALUE.search(what)) and value[1] in HOSTED_BLOCKS:
        return path.removesuffix(".type"), hosted_only(f"`{value[1]}` blocks")
    return path, what


def hosted_only(what: str) -> str:
    """Why `what` cannot be had here."""
    return f"{what} need the hosted API; this engine speaks Chat Completions, which has none"


def _below(path: str, field: str) -> str:
    return f"{path}.{field}" if path else field
