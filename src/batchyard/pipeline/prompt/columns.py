"""Whether a dataset has the columns that a task uses, and what was meant where it has not."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from difflib import get_close_matches

from batchyard.errors import BadPrompt
from batchyard.pipeline.prompt.asked import Asked
from batchyard.pipeline.prompt.body import Body
from batchyard.pipeline.prompt.words.template import ROW

COLUMNS_SHOWN_MAX = 20
_PROMPT_CHARACTERS_MAX = 120
_NOTHING_SENT = "\nnothing was sent"
_in_braces = re.compile(r"\{\{.*?\}\}|\{%.*?%\}")


def check(asked: Asked, body: Body, columns: Sequence[str], source: str) -> None:
    """Raise `BadPrompt` with all columns that `source` lacks, before anything is sent."""
    _check_braces(body, columns)
    _check_row(body, columns)
    there = set(columns)
    used = dict.fromkeys(
        [
            *(name for one in body.templates for name in sorted(one.columns)),
            *(one.name for one in body.media),
        ]
    )
    missing = [name for name in used if name not in there]
    if missing:
        raise _missing(asked, body, missing, columns, source)


def check_uses_a_column(asked: Asked, body: Body) -> None:
    """Raise `BadPrompt` where every row would be asked the same."""
    if asked.constant or body.media or not all(one.constant for one in body.templates):
        return
    braced = [name for one in body.templates for name in one.single_braces()]
    if braced:
        raise _single_braces(body.templates[-1].place, braced)
    raise BadPrompt(
        "the prompt uses no column, so every row would be asked the same; nothing was sent",
        fix="name a column in it: {{ column }}",
    )


def _check_braces(body: Body, columns: Sequence[str]) -> None:
    """`{column}` is a habit from Python's format strings, and would be sent as it stands."""
    for template in body.templates:
        braced = [name for name in template.single_braces() if name in columns]
        if braced:
            raise _single_braces(template.place, braced)


def _check_row(body: Body, columns: Sequence[str]) -> None:
    if body.bound.whole_row and ROW in columns:
        raise BadPrompt(
            f"{{{{ {ROW} }}}} is the whole row, and there is also a column {ROW}; nothing was sent",
            fix=f'{{{{ {ROW}["{ROW}"] }}}} is the column; rename it to use the whole row',
        )


def _single_braces(place: str, names: list[str]) -> BadPrompt:
    shown = ", ".join(f"{{{name}}}" for name in names[:COLUMNS_SHOWN_MAX])
    return BadPrompt(
        f"{place} has {shown} in single braces, which is sent as it stands; columns stand in two",
        fix=" and ".join(_written(name) for name in names[:COLUMNS_SHOWN_MAX]) + _NOTHING_SENT,
    )


def _missing(
    asked: Asked, body: Body, missing: list[str], columns: Sequence[str], source: str
) -> BadPrompt:
    nearest = {name: _nearest(name, columns) for name in missing}
    media = {one.name: one.kind for one in body.media}
    shown = ", ".join(
        f"{name} ({media[name]})" if name in media else _written(name) for name in missing
    )
    what = "a column" if len(missing) == 1 else f"{len(missing)} columns"
    meant = [name for name in nearest.values() if name]
    hint = f"        did you mean {', '.join(dict.fromkeys(meant))}?" if meant else ""
    return BadPrompt(
        f"the prompt uses {what} that {source} does not have: {shown}\n"
        f"columns: {_listed(columns)}{hint}",
        fix=_corrected(asked, nearest) + _NOTHING_SENT,
    )


def _nearest(name: str, columns: Sequence[str]) -> str:
    """The column that was meant, "" for none: a difference in case only, or in a few letters."""
    folded = {column.casefold(): column for column in reversed(columns)}
    if name.casefold() in folded:
        return folded[name.casefold()]
    return next(iter(get_close_matches(name, columns, 1)), "")


def _corrected(asked: Asked, nearest: dict[str, str]) -> str:
    """The prompt with the names that were meant, where it is short; else just the names."""
    prompt = asked.turns[-1][1]
    short = len(prompt) <= _PROMPT_CHARACTERS_MAX and "\n" not in prompt
    if short and all(nearest.values()) and all(name in prompt for name in nearest):
        for wrong, right in nearest.items():
            prompt = _renamed(prompt, wrong, right)
        if all(name.isidentifier() for name in nearest.values()):
            return f"--prompt {shlex.quote(prompt)}"
    names = [_written(name) for name in nearest.values() if name]
    return " and ".join(names) if names else "use the columns that are there"


def _renamed(prompt: str, wrong: str, right: str) -> str:
    """The template with another name in its braces; the words around them may be the same."""
    whole_word = re.compile(rf"(?<!\w){re.escape(wrong)}(?!\w)")
    return _in_braces.sub(lambda braces: right.join(whole_word.split(braces[0])), prompt)


def _written(name: str) -> str:
    """How a template names the column."""
    return f"{{{{ {name} }}}}" if name.isidentifier() else f'{{{{ {ROW}["{name}"] }}}}'


def _listed(columns: Sequence[str]) -> str:
    shown = ", ".join(columns[:COLUMNS_SHOWN_MAX])
    more = len(columns) - COLUMNS_SHOWN_MAX
    return f"{shown} and {more} more" if more > 0 else shown or "none"
