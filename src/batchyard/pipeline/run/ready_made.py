"""Requests that were made ready elsewhere, as a task: what is asked is in the rows themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Self

import msgspec

from batchyard.pipeline.prompt import Misfit, Reading
from batchyard.pipeline.row import Fields

_encode = msgspec.json.Encoder().encode
_NAME = {"ready_made": True}


class _Block(msgspec.Struct, gc=False):
    type: str
    text: str = ""


class _Message(msgspec.Struct, gc=False):
    content: list[_Block]


_message = msgspec.json.Decoder(_Message).decode


@dataclass(frozen=True, slots=True)
class ReadyMade:
    """Asks the `params` of each row as they are; the text of the answer is the column `output`."""

    answer_columns: tuple[str, ...] = ("output",)

    def params_of(self, fields: Fields, *, position: int) -> bytes:
        """The row's own params."""
        return _encode(fields["params"])

    def key(self, fields: Fields) -> bytes:
        """16 bytes, equal for equal params."""
        return blake2b(_encode(fields["params"]), digest_size=16).digest()

    def read(self, message: bytes) -> Reading:
        """The text of a Message; raises `Misfit` for what is none."""
        try:
            blocks = _message(message).content
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Misfit("api", f"the answer is not a Message: {error}", "") from error
        text = "".join([block.text for block in blocks if block.type == "text"])
        return Reading({"output": text}, text)

    def repaired(self, params: bytes, raw: str, why: str) -> bytes:
        """The same again: nothing is added to what somebody else has made."""
        return params

    def as_manifest(self) -> dict[str, Any]:
        """Says only that requests are ready-made: they are the input."""
        return dict(_NAME)

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, Any]) -> Self:
        """The same task."""
        return cls()

    def difference(self, other: object) -> list[str]:
        """Nothing, unless the other one has a prompt."""
        return [] if isinstance(other, ReadyMade) else ["- ready-made requests", "+ a prompt"]
