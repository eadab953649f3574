"""Text on a terminal: as wide as it may be, coloured where colours are welcome, in one place."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.terminal import Live, Text, columns, takes_colour, width_of


class Terminal(io.StringIO):
    """Remembers what it was sent."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _a_usual_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


def screen(sent: str) -> list[str]:
    """The lines one sees after `sent`: enough of a terminal for what we send."""
    lines, row, at = [""], 0, 0
    while at < len(sent):
        if sent[at] == "\x1b":
            end = next(i for i in range(at + 2, len(sent)) if sent[i].isalpha())
            what, number = sent[end], sent[at + 2 : end]
            if what == "A":
                row -= int(number)
            elif what == "K":
                lines[row] = lines[row].rstrip("\0")
            elif what == "J":
                lines = lines[: row + 1]
            at = end + 1
            continue
        if sent[at] == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
            lines[row] = ""
        elif sent[at] == "\r":
            pass
        else:
            if sent[at - 1] in "\rA":
                lines[row] = ""
            lines[row] += sent[at]
        at += 1
    return lines


@given(st.text(), st.integers(min_value=0, max_value=30))
def test_a_text_that_was_cut_is_never_wider_than_it_may_be(words: str, width: int) -> None:
    text = Text.assemble((words, "green"), words)
    whole = text.plain
    text.truncate(width)
    assert columns(text.plain) <= width
    assert text.plain == whole or columns(whole) > width


def test_wide_letters_take_two_columns_and_accents_none() -> None:
    assert columns("日本") == 4
    assert columns("e\u0301") == 1
    text = Text("日本語")
    text.truncate(4)
    assert text.plain == "日…"
    text = Text("abcdef")
    text.truncate(3, overflow="crop")
    assert text.plain == "abc"


def test_words_of_strangers_cannot_steer_the_terminal() -> None:
    assert Text("a\x1b[2Jb\rc\x9bd").painted(colour=True) == "a?[2Jb?c?d"


def test_styles_are_codes_where_colours_are_welcome() -> None:
    text = Text.assemble("a ", ("b", "green"))
    assert text.painted(colour=True) == "a \x1b[32mb\x1b[0m"
    assert text.painted(colour=False) == "a b"


@pytest.mark.parametrize(
    ("variable", "value", "on_terminal", "in_file"),
    [
        ("X", "", True, False),
        ("NO_COLOR", "1", False, False),
        ("FORCE_COLOR", "1", True, True),
        ("TERM", "dumb", False, False),
    ],
)
def test_whether_colours_are_welcome(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, *, on_terminal: bool, in_file: bool
) -> None:
    monkeypatch.setenv(variable, value)
    assert takes_colour(Terminal()) is on_terminal
    assert takes_colour(io.StringIO()) is in_file


def test_lines_are_replaced_where_they_are() -> None:
    terminal = Terminal()
    with Live(terminal) as live:
        for number in range(3):
            live.update(Text("\n").join([Text(f"one {number}"), Text(f"two {number}")]))
        live.update(Text("short"))
    assert screen(terminal.getvalue()) == ["short", ""]
    assert terminal.getvalue().endswith("\x1b[?25h"), "the cursor is back"


def test_elsewhere_only_the_last_lines_are_written() -> None:
    file = io.StringIO()
    with Live(file) as live:
        live.update(Text("first"))
        live.update(Text("last", "bold"))
    assert file.getvalue() == "last\n"


def test_a_display_that_was_never_used_leaves_nothing() -> None:
    file = io.StringIO()
    with Live(file):
        pass
    assert file.getvalue() == ""


def test_the_width_is_what_the_user_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "57")
    assert width_of(Terminal()) == 57
