"""Where words go: data to stdout, talk to stderr, and JSON envelopes instead of both on demand."""

from __future__ import annotations

import os
import sys
from typing import Any

import click
import msgspec

from batchyard.terminal import width_of

SCHEMA_VERSION = 1
"""Of the JSON envelopes; grows when a field changes its meaning or goes away."""

WIDTH_ELSEWHERE = 100
"""Of lines in logs and files: nothing there says how wide a line may be."""


_CONTROLS = {code: "?" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}
"""What strangers' words must not bring along: a terminal would obey it."""


def data(text: str) -> None:
    """One line of what was asked for."""
    click.echo(text.translate(_CONTROLS))


def say(text: str) -> None:
    """A line for the person at the terminal."""
    click.echo(text.translate(_CONTROLS), err=True)


def event(name: str, /, **fields: Any) -> None:
    """One JSON value on one line of stdout: `{"schema_version":1,"event":name,...}`."""
    click.echo(envelope(name, fields))


def envelope(name: str, fields: dict[str, Any]) -> str:
    """The envelope around `fields`, as one line of JSON."""
    value = {"schema_version": SCHEMA_VERSION, "event": name, **fields}
    return msgspec.json.encode(value).decode()


def width() -> int:
    """Columns of the terminal that talk goes to; `WIDTH_ELSEWHERE` where it is none."""
    told = "COLUMNS" in os.environ or sys.stderr.isatty()
    return width_of(sys.stderr) if told else WIDTH_ELSEWHERE


class Marks:
    """The few signs beyond ASCII, with stand-ins for terminals that cannot show them."""

    def __init__(self, *, plain: bool) -> None:
        self.good, self.warning, self.bad = ("ok", "!!", "XX") if plain else ("✓", "!", "✗")
        self.none = "-" if plain else "·"
        self.range = "-" if plain else "\N{EN DASH}"
        self.full, self.empty = ("#", ".") if plain else ("█", "░")


def marks(stream: Any = None) -> Marks:
    """The signs that `stream` (stderr by default) can show."""
    encoding = getattr(stream or sys.stderr, "encoding", None) or "ascii"
    try:
        "✓✗·█░".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return Marks(plain=True)
    return Marks(plain=False)
