"""The way from a file to a labelled file: prepared, estimated, agreed to, run, written."""

from __future__ import annotations

from pathlib import Path

from batchyard.cli import failures
from batchyard.cli.runs.asked import Asked
from batchyard.cli.runs.prepared import prepared
from batchyard.cli.runs.telling import Telling

FOLDER = ".batchyard"


def runs_folder(file: str) -> Path:
    """Where the runs of a file are kept: beside it; those of standard input in this folder."""
    return (Path() if file == "-" else Path(file).parent) / FOLDER


def dry(asked: Asked) -> int:
    """Show rendered rows, leave nothing behind."""
    telling = Telling(as_json=asked.manner.as_json)
    found = prepared(asked, None)
    telling.input(found)
    telling.dry(found)
    return failures.OK


def run(asked: Asked) -> int:
    if asked.manner.dry_run:
        return dry(asked)
    found = prepared(asked, runs_folder(asked.input.file))
    raise NotImplementedError(found)
