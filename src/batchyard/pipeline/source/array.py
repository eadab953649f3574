"""A JSON array of objects, read through a window: its size does not matter to memory."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from typing import NoReturn

from batchyard.errors import BadInput
from batchyard.pipeline.source.file import InputFile
from batchyard.pipeline.source.objects import decoded

_WINDOW = 256 * 1024
_SLACK = 16
"""The parser names a place this close to the end of its text when the text was merely cut."""

_SPACE = re.compile(r"[ \t\r\n]*")
_scan = json.JSONDecoder().raw_decode


def objects_of_array(file: InputFile, first: int = 0) -> Iterator[tuple[int, dict[str, object]]]:
    """The elements from number `first` on, with the lines on which they begin."""
    with file.text() as stream:
        cursor = _Cursor(file, stream)
        if cursor.next() != "[":
            cursor.refuse("a JSON array of objects was expected")
        cursor.skip()
        position = 0
        while cursor.next() != "]":
            if position and cursor.next() != ",":
                cursor.refuse("a comma or ] was expected after the row before")
            if position:
                cursor.skip()
                cursor.next()
            line, text = cursor.line, cursor.value()
            if position >= first:
                yield line, decoded(file, text.encode("utf-8", "replace"), line)
            position += 1
        cursor.skip()
        if cursor.next():
            cursor.refuse("more text after the array's end")
    if not position:
        raise file.fault("an empty array", fix='[{"text": "…"}, …]')


class _Cursor:
    """A place in the text, of which only a window is held."""

    def __init__(self, file: InputFile, stream: io.TextIOWrapper) -> None:
        self._file, self._stream = file, stream
        self._text, self._at, self.line = "", 0, 1

    def next(self) -> str:
        """The next character that is no space, not passed yet; empty at the end."""
        while True:
            found = _SPACE.match(self._text, self._at)
            assert found is not None
            self._pass(found.end())
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def skip(self) -> None:
        """Pass one character."""
        self._at += 1

    def value(self) -> str:
        """Pass the JSON value that begins here and return its text."""
        while True:
            try:
                _, end = _scan(self._text, self._at)
            except json.JSONDecodeError as error:
                cut = error.pos + _SLACK >= len(self._text) or error.msg.startswith("Unterminated")
                if cut and self._more():
                    continue
                self._pass(error.pos)
                self.refuse(_plain(error.msg))
            except RecursionError:
                self.refuse("nested too deeply")
            except ValueError:
                self.refuse("a number that no JSON reader takes")
            text = self._text[self._at : end]
            self._pass(end)
            return text

    def refuse(self, what: str) -> NoReturn:
        """Raise the fault at this place."""
        raise self._fault(what if self._at < len(self._text) else f"{what}; the file ends here")

    def _fault(self, what: str) -> BadInput:
        fix = 'a JSON array of objects: [{"text": "…"}, …]'
        return self._file.fault(what, line=self.line, fix=fix)

    def _pass(self, end: int) -> None:
        self.line += self._text.count("\n", self._at, end)
        self._at = end

    def _more(self) -> bool:
        """Read on: as much again as is held, so that a long value is not scanned too often."""
        rest = self._text[self._at :]
        piece = self._stream.read(max(_WINDOW, len(rest)))
        self._text, self._at = rest + piece, 0
        return bool(piece)


def _plain(words: str) -> str:
    return f"not JSON: {words[:1].lower()}{words[1:]}"
