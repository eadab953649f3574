"""Where a run writes: a name made from the input's, and nothing that is there already."""

from __future__ import annotations

import os
from pathlib import Path

from batchyard.errors import BadOutput

STDOUT = "-"
SUFFIXES = {"requests": ".jsonl", "openai": ".jsonl"}
"""Answers to ready-made requests are lines, whatever the requests were called."""


def derived(file: str, format: str) -> str:
    """`reviews.labelled.csv` for `reviews.csv`, `stdin.labelled.csv` for what came by a pipe."""
    suffix = SUFFIXES.get(format, f".{format}")
    if file == STDOUT:
        return f"stdin.labelled{suffix}"
    path = Path(file)
    return str(path.with_name(f"{path.stem}.labelled{path.suffix or suffix}"))


def refuse_existing(path: str, *, force: bool) -> None:
    """Raise `BadOutput` where something would be replaced that nobody said may be."""
    if path == STDOUT or force or not Path(path).is_file():
        return
    raise BadOutput(
        f"{path} exists already; nothing was sent",
        fix=f"--force replaces it\nor: another name with -o, such as -o {_free(path)}",
    )


def refuse_input(path: str, source: str) -> None:
    """Raise `BadOutput` where the answers would replace what was asked."""
    if STDOUT not in (path, source) and os.path.realpath(path) == os.path.realpath(source):
        raise BadOutput(f"{path} is the input; nothing was sent", fix="another name with -o")


def _free(path: str) -> str:
    """The next name with a number that is free."""
    found, number = Path(path), 2
    while (free := found.with_name(f"{found.stem}-{number}{found.suffix}")).exists():
        number += 1
    return str(free)
