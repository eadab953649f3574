"""Requests that were made ready elsewhere: each row says by itself what is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, Self

import msgspec

from batchyard.errors import BadPrompt
from batchyard.pipeline.prompt.answer import Answers, Reading
from batchyard.pipeline.prompt.asked import asked
from batchyard.pipeline.prompt.task import Task
from batchyard.pipeline.row import Fields

FORMATS = ("requests", "openai")
"""Sources whose rows hold `custom_id` and `params`."""

_MARK = "ready_made"
KEY_BYTES = 16

_encode = msgspec.json.Encoder(order="sorted").encode


class ReadyMade:
    """The task of rows with `params`: it adds nothing, and reads answers as text in `output`."""

    model: str | None = None
    schema: dict[str, Any] | None = None
    max_tokens: int | None = None
    columns_used: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self._answers = Answers(asked({"prompt": _MARK}))
        self.answer_columns = self._answers.columns

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, Any]) -> Self:
        """What `as_manifest` wrote down."""
        return cls()

    def as_manifest(self) -> dict[str, Any]:
        """A mark: all else stands in the rows."""
        return {_MARK: True}

    def changed(self, *, model: str | None = None, max_tokens: int | None = None) -> Self:
        """The same: rows that say everything cannot be said otherwise. Raises `BadPrompt`."""
        if max_tokens is not None:
            raise BadPrompt(
                "ready-made requests say their own max_tokens; nothing was sent",
                fix="change it in the file, and run that with --new",
            )
        return self

    def check(self, columns_there: Sequence[str], *, source: str) -> None:
        """There is nothing that could be missing."""

    def params_of(self, fields: Fields, *, position: int) -> bytes:
        """The params of a row as JSON."""
        return msgspec.json.encode(fields["params"])

    def key(self, fields: Fields) -> bytes:
        """16 bytes, equal for rows with the same params."""
        return blake2b(_encode(fields["params"]), digest_size=KEY_BYTES).digest()

    def read(self, message: bytes) -> Reading:
        """The text of a Message; raises `Misfit` for what is none."""
        return self._answers.read(message)

    def repaired(self, params: bytes, raw: str, why: str) -> bytes:
        """The same again: nothing is added to what somebody else has made."""
        return params

    def rendered(self, fields: Fields, *, position: int = 0) -> str:
        """The params of a row, laid out."""
        return msgspec.json.format(msgspec.json.encode(fields["params"])).decode()

    def difference(self, other: object) -> list[str]:
        """Lines of a diff, [] when both ask the same."""
        if isinstance(other, ReadyMade):
            return []
        return ["- ready-made requests", "+ a prompt"]


def task_from(manifest: Mapping[str, Any]) -> Task | ReadyMade:
    """The task that a run wrote down, of either kind; raises `BadPrompt`."""
    if _MARK in manifest:
        return ReadyMade.from_manifest(manifest)
    return Task.from_manifest(manifest)
