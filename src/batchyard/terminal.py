"""Coloured text on a terminal, and a few lines that stay where they are while they change."""

from __future__ import annotations

import os
import shutil
import unicodedata
from collections.abc import Iterable
from typing import Literal, Self, TextIO

Style = Literal["", "bold", "dim", "green", "yellow", "red", "cyan"]

_CODES: dict[Style, str] = {
    "bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36",
}  # fmt: skip
_RESET = "\x1b[0m"
_HIDE, _SHOW = "\x1b[?25l", "\x1b[?25h"
_CLEAR_TO_END_OF_LINE, _CLEAR_BELOW = "\x1b[K", "\x1b[J"
_CONTROLS = {code: "?" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}
"""What strangers' words must not bring along: a terminal would obey it."""


class Text:
    """Words in the styles they are to have: `parts`; `plain` is the words alone."""

    def __init__(self, text: str = "", style: Style = "") -> None:
        self.parts: list[tuple[str, Style]] = []
        self.append(text, style)

    @classmethod
    def assemble(cls, *parts: str | tuple[str, Style]) -> Self:
        """One text of several, each plain or with a style."""
        made = cls()
        for part in parts:
            made.append(*((part, "") if isinstance(part, str) else part))
        return made

    @property
    def plain(self) -> str:
        return "".join(text for text, _ in self.parts)

    def append(self, text: str | Text, style: Style = "") -> Self:
        """Add to the end; returns itself."""
        if isinstance(text, Text):
            self.parts += text.parts
        elif text:
            self.parts.append((text.translate(_CONTROLS), style))
        return self

    def join(self, lines: Iterable[Text]) -> Text:
        """The lines with this text between them."""
        joined = Text()
        for number, line in enumerate(lines):
            joined.append(self if number else "").append(line)
        return joined

    def truncate(self, width: int, *, overflow: Literal["ellipsis", "crop"] = "ellipsis") -> None:
        """Cut it to `width` columns, in place, with a sign that something was cut or without."""
        if columns(self.plain) <= width:
            return
        sign = "…" if overflow == "ellipsis" and width > 0 else ""
        room, kept = width - len(sign), Text()
        for text, style in self.parts:
            part = _fitting(text, room)
            kept.append(part, style)
            room -= columns(part)
            if part != text:
                kept.append(sign, style)
                break
        self.parts = kept.parts

    def painted(self, *, colour: bool) -> str:
        """As a terminal takes it; without `colour` the plain words."""
        if not colour:
            return self.plain
        return "".join(
            f"\x1b[{_CODES[style]}m{text}{_RESET}" if style else text for text, style in self.parts
        )


class Live:
    """Lines on a terminal that each `update` replaces; a context manager.

    Elsewhere than on a terminal only the last ones are written, at the end.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._moves = stream.isatty() and os.environ.get("TERM") != "dumb"
        self._colour = takes_colour(stream)
        self._shown: Text | None = None

    @property
    def width(self) -> int:
        """Columns of the terminal right now."""
        return width_of(self._stream)

    def __enter__(self) -> Self:
        if self._moves:
            self._write(_HIDE)
        return self

    def __exit__(self, *exception: object) -> None:
        last = "" if self._shown is None else "\n"
        if self._moves:
            self._write(last + _SHOW)
        elif self._shown is not None:
            self._write(self._shown.painted(colour=self._colour) + last)

    def update(self, text: Text) -> None:
        """Show these lines, none wider than `width`, in place of the last ones."""
        before, self._shown = self._shown, text
        if not self._moves:
            return
        up = before.plain.count("\n") if before is not None else 0
        lines = text.painted(colour=self._colour).replace("\n", f"{_CLEAR_TO_END_OF_LINE}\n")
        back = "\r" + (f"\x1b[{up}A" if up else "")
        self._write(f"{back}{lines}{_CLEAR_TO_END_OF_LINE}{_CLEAR_BELOW}")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def takes_colour(stream: TextIO) -> bool:
    """Whether colours may go to `stream`: https://no-color.org, and FORCE_COLOR for pipes."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def width_of(stream: TextIO) -> int:
    """Columns of the terminal behind `stream`: COLUMNS, else what it says, else 80."""
    if os.environ.get("COLUMNS", "").isdecimal():
        return int(os.environ["COLUMNS"])
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return shutil.get_terminal_size().columns


def columns(text: str) -> int:
    """How many columns `text` takes: wide letters take two, accents that combine none."""
    if text.isascii():
        return len(text)
    return sum(map(_columns_of, text))


def _columns_of(letter: str) -> int:
    if unicodedata.combining(letter) or unicodedata.category(letter) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def _fitting(text: str, room: int) -> str:
    """The longest beginning of `text` that takes at most `room` columns."""
    if columns(text) <= room:
        return text
    used = 0
    for at, letter in enumerate(text):
        used += _columns_of(letter)
        if used > room:
            return text[:at]
    return text
