"""`docs/reference/cli.md` and the program say the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from batchyard.cli import failures
from tests.cli.test_program import commands

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
COMMANDS = dict(commands())
OPTIONS = {option for command in COMMANDS.values() for one in command.params for option in one.opts}


def section(name: str) -> str:
    """What the page says of a verb, of one whose options it shares, and of all of them."""
    general, *sections = re.split(r"^## `batchyard ", PAGE, flags=re.MULTILINE)
    own = [text for text in sections if re.match(rf"{name}\b", text)]
    assert len(own) == 1, f"{name} has {len(own)} sections"
    shared = re.findall(r"^Options as of `(\w+)`", own[0], flags=re.MULTILINE)
    return general + own[0] + "".join(section(other) for other in shared)


@pytest.mark.parametrize("words", COMMANDS)
def test_every_verb_and_flag_is_explained(words: str) -> None:
    text = section(words.split(maxsplit=1)[0])
    assert f"`batchyard {words}" in text + "`batchyard " + words.split(maxsplit=1)[0]
    shown = [one for one in COMMANDS[words].params if not getattr(one, "hidden", False)]
    options = {option for one in shown for option in one.opts if option[0] == "-"}
    assert [option for option in options if f"`{option}" not in text] == []


def test_no_flag_is_explained_that_does_not_exist() -> None:
    mentioned = set(re.findall(r"`(--?[a-z][a-z-]*)", PAGE))
    assert mentioned - OPTIONS == {"--help", "-h"}


def test_every_exit_code_is_explained() -> None:
    table = re.findall(r"^\| (\d+) \|", PAGE, flags=re.MULTILINE)
    assert [int(code) for code in table] == [
        failures.OK,
        failures.INTERNAL,
        failures.USAGE,
        failures.FAILED_REQUESTS,
        failures.REFUSED,
        failures.UNREACHABLE,
        failures.INTERRUPTED,
    ]
