"""`resume` and `retry`: a run goes on, or its failed rows are asked once more."""

from __future__ import annotations

from typing import Any

import click

from batchyard.cli.options import json_options
from batchyard.cli.program import Verb
from batchyard.cli.runs.options.asked import continued
from batchyard.cli.runs.options.flags import (
    cap_options,
    fail_on_option,
    place_again_options,
    progress_option,
    stacked,
    target_again_options,
)
from batchyard.cli.runs.options.values import Amount

_options = stacked(
    click.argument("run", metavar="[RUN]", required=False),
    place_again_options, cap_options, target_again_options, fail_on_option, progress_option,
    json_options,
)  # fmt: skip


@click.command(
    cls=Verb,
    examples=("batchyard resume", "batchyard resume run_7Q2K --engine http://localhost:8000"),
    help="Go on with a run that has not ended.\n\n"
    "Without RUN the newest one. Rows that have an answer are not asked again; batches that a "
    "server still has are collected, not sent anew.",
)
@_options
def resume_command(**flags: Any) -> int:
    from batchyard.cli.runs.again import resume

    return resume(continued(flags))


@click.command(
    cls=Verb,
    examples=("batchyard retry", "batchyard retry run_7Q2K --only schema --max-tokens 512"),
    help="Ask the failed rows of a run once more.\n\n"
    "Without RUN the newest one. Failed, expired and canceled rows go into new batches of the same "
    "run; rows that have an answer are never asked again. The output is written again.",
)
@click.option(
    "--only", metavar="KIND", multiple=True,
    help="Rows that failed for this reason, as the run's end lists them. Repeat it for more.",
)  # fmt: skip
@click.option("--max-tokens", metavar="N", type=Amount(), help="Longer answers than before.")
@_options
def retry_command(*, only: tuple[str, ...], max_tokens: int | None, **flags: Any) -> int:
    from batchyard.cli.runs.again import retry

    return retry(continued(flags), only, max_tokens)
