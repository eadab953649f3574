"""`run` and `estimate`: from a file to a labelled file, and what that would take."""

from __future__ import annotations

from typing import Any

import click

from batchyard.cli.program import Verb
from batchyard.cli.runs.options.asked import asked
from batchyard.cli.runs.options.flags import run_options


@click.command(
    cls=Verb,
    examples=(
        "batchyard run reviews.csv --prompt 'Classify: {{ text }}' --schema 'label: good|bad'",
        "batchyard run - --prompt-file ask.txt --engine http://localhost:8000 < in.jsonl",
    ),
    help="Label a file: ask a model about every row.\n\n"
    "FILE is CSV, TSV, JSON lines, JSON, Parquet, Arrow, or ready-made requests; - is standard "
    "input. The answers are written beside the input's columns, in the input's order. What is "
    "interrupted goes on with `batchyard resume`; no row is paid for twice.",
)
@run_options
def run_command(**flags: Any) -> int:
    from batchyard.cli.runs.doing import run

    return run(asked(flags))


@click.command(
    cls=Verb,
    examples=(
        "batchyard estimate reviews.csv --prompt 'Classify: {{ text }}'",
        "batchyard estimate reviews.csv --prompt 'Classify: {{ text }}' --compare claude-haiku-4-5",
    ),
    help="Say what a run would take, and stop.\n\n"
    "Takes the options of `run`. The rows of the sample are kept: `run` with the same options goes "
    "on from them.",
)
@click.option(
    "--compare", metavar="MODEL", multiple=True,
    help="What the same job costs there. Repeat it for more.",
)  # fmt: skip
@run_options
def estimate_command(*, compare: tuple[str, ...], **flags: Any) -> int:
    from batchyard.cli.runs.doing import estimate

    return estimate(asked(flags), compare)
