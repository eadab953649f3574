"""CSV, TSV, JSON Lines and JSON arrays, written in chunks of lines."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from batchyard.pipeline.sink.cells import json_of, mended, text_of
from batchyard.pipeline.sink.target import Target

CHUNK_ROWS = 64
CHUNK_BYTES = 4 << 20
"""Rows are held up to the one, or to the other if they are as long as those before."""
FORMULA = frozenset("=+-@\t\r")
"""What makes a spreadsheet run a cell as a formula when it stands first."""

_NUMBER = re.compile(r"[+-]?[\d.,]*\d[\d.,]*(?:[eE][+-]?\d+)?%?", re.ASCII)


Lines = Callable[[list[Sequence[object]]], bytes]
"""Turns some rows into the text that stands for them."""


class TextSink:
    """Rows as text, between a head and a tail, `joint` between one chunk of rows and the next."""

    def __init__(
        self,
        target: Target,
        lines: Lines,
        *,
        head: bytes = b"",
        joint: bytes = b"",
        tail: bytes = b"",
    ) -> None:
        self._target, self._lines = target, lines
        self._next, self._joint, self._tail = head, joint, tail
        self._rows: list[Sequence[object]] = []
        self._held_max = min(CHUNK_ROWS, 8)
        with target.told():
            self._file = target.part.open("wb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._target.discard()
        try:
            self._file.close()
        except OSError:
            # Closing flushes, which a full disk refuses once more; the part is gone already.
            return

    def write(self, values: Sequence[object]) -> None:
        """See `Sink.write`."""
        self._rows.append(values)
        if len(self._rows) >= self._held_max:
            self._flush()

    def commit(self) -> None:
        """See `Sink.commit`."""
        self._flush()
        with self._target.told():
            if self._next != self._joint:
                self._file.write(self._next)
            self._file.write(self._tail)
            self._file.close()
        self._target.commit()

    def _flush(self) -> None:
        if self._rows:
            text = self._next + self._lines(self._rows)
            self._held_max = min(CHUNK_ROWS, CHUNK_BYTES * len(self._rows) // len(text) + 1)
            self._rows, self._next = [], self._joint
            with self._target.told():
                self._file.write(text)


def delimited_sink(
    target: Target, columns: Sequence[str], delimiter: str, *, raw: bool
) -> TextSink:
    """CSV or TSV. Unless `raw`, cells that a spreadsheet would run get an apostrophe in front."""

    def lines(rows: list[Sequence[object]]) -> bytes:
        return _delimited([[_cell(value, raw=raw) for value in row] for row in rows], delimiter)

    return TextSink(target, lines, head=lines([columns]))


def lines_sink(target: Target, columns: Sequence[str]) -> TextSink:
    """One JSON object a line."""

    def lines(rows: list[Sequence[object]]) -> bytes:
        return b"".join([_object(columns, row) + b"\n" for row in rows])

    return TextSink(target, lines)


def array_sink(target: Target, columns: Sequence[str]) -> TextSink:
    """One JSON array of objects, an object a line."""

    def lines(rows: list[Sequence[object]]) -> bytes:
        return b",\n".join([_object(columns, row) for row in rows])

    return TextSink(target, lines, head=b"[\n", joint=b",\n", tail=b"\n]\n")


def _object(columns: Sequence[str], row: Sequence[object]) -> bytes:
    return json_of(dict(zip(columns, row, strict=True)))


def _delimited(rows: list[list[object]], delimiter: str) -> bytes:
    """Rows with \\n ends. The writer is told \\r\\n, since Python below 3.13 quotes a cell with a
    bare \\r in it only then, and no reader would get the others back."""
    lines: list[str] = []
    writer = csv.writer(_Lines(lines), delimiter=delimiter, lineterminator="\r\n")
    writer.writerows(rows)
    text = "".join([f"{line[:-2]}\n" for line in lines])
    try:
        return text.encode()
    except UnicodeEncodeError:
        return str(mended(text)).encode()


class _Lines:
    """What the csv module takes for a file: each line that it writes goes into a list."""

    def __init__(self, lines: list[str]) -> None:
        self.write = lines.append


def _cell(value: object, *, raw: bool) -> object:
    """What the csv module is to write for `value`; nothing for None and NaN."""
    kind = type(value)
    if value is None or kind is int:
        return value
    if isinstance(value, float):
        return None if math.isnan(value) else value
    text = value if kind is str else text_of(value)
    assert isinstance(text, str)
    if raw or text[:1] not in FORMULA or _NUMBER.fullmatch(text):
        return text
    return f"'{text}"
