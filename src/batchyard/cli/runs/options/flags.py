"""The options of a run's verbs on the command line, in the groups in which help lists them."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

import click

from batchyard.cli.options import DEFAULT_SERVER, ServerUrl, json_options
from batchyard.cli.runs.options.values import Amount, FailOn, Parameter, Positive, Turn

F = TypeVar("F", bound=Callable[..., Any])

SAMPLE_ROWS = 5

FORMATS = ("csv", "tsv", "jsonl", "json", "parquet", "arrow", "requests", "openai")
"""What can be read."""


def stacked(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Several options as one decorator, in the order in which help lists them."""
    return lambda function: reduce(lambda inner, option: option(inner), reversed(options), function)


_question_options = stacked(
    click.option("--prompt", metavar="TEMPLATE", help="What each row is asked: Jinja2, a column "
                 "in double braces."),
    click.option("--prompt-file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False),
                 help="The same, from a file."),
    click.option("--system", metavar="TEMPLATE", help="The system prompt."),
    click.option("--turn", metavar="ROLE=TEMPLATE", multiple=True, type=Turn(),
                 help="A turn before the prompt, user= or assistant=. Repeat it for more."),
    click.option("--model", metavar="NAME", help="The model; may be left out where only one is "
                 "served."),
    click.option("--schema", metavar="SCHEMA", help="What an answer holds: 'sentiment: "
                 "positive|negative, stars int', a JSON Schema file, or package.module:Class."),
    click.option("--as-tool", is_flag=True, help="Ask for the schema as a forced tool, for engines "
                 "without structured output."),
    click.option("--image", metavar="COLUMN", multiple=True, help="A column with images: files, "
                 "URLs or data. Repeat it for more."),
    click.option("--document", metavar="COLUMN", multiple=True, help="A column with PDFs or texts. "
                 "Repeat it for more."),
    click.option("--tools", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False),
                 help="Tools the model may call: a JSON file."),
    click.option("-p", "--param", metavar="NAME=VALUE", multiple=True, type=Parameter(),
                 help="Any parameter of Messages, such as temperature=0. Repeat it for more."),
    click.option("--max-tokens", metavar="N", type=Amount(), help="Longest answer.  "
                 "[default: 1024]"),
    click.option("--cache-prefix", is_flag=True, help="Mark what all rows share for upstreams that "
                 "cache on demand."),
)  # fmt: skip

place_again_options = stacked(
    click.option("--server", type=ServerUrl(), help="Another server than before."),
    click.option("--engine", "engines", metavar="SPEC", multiple=True, help="Engines under a "
                 "server of the run's own, instead. Repeat it for more."),
)  # fmt: skip

_place_options = stacked(
    click.option("--server", type=ServerUrl(), envvar=["BATCHYARD_SERVER", "ANTHROPIC_BASE_URL"],
                 default=DEFAULT_SERVER, show_default=True, show_envvar=True,
                 help="The server the rows go to, as batches."),
    click.option("--engine", "engines", metavar="SPEC", multiple=True, help="An engine, under a "
                 "server of the run's own. Repeat it for more."),
)  # fmt: skip

_input_options = stacked(
    click.option("--format", metavar="F", type=click.Choice(FORMATS),
                 help="What FILE is, where its name and beginning do not tell."),
    click.option("--encoding", metavar="E", default="utf-8", show_default=True,
                 help="Of a text file."),
    click.option("--id", metavar="COLUMN", help="A column that names each row: checked to be "
                 "unique before anything is sent."),
)  # fmt: skip

target_again_options = stacked(
    click.option("-o", "--output", metavar="FILE", help="Another output than before."),
    click.option("--force", is_flag=True, help="Replace an output that the run did not write."),
)  # fmt: skip

_target_options = stacked(
    click.option("-o", "--output", metavar="FILE", help="Where the answers go; - is standard "
                 "output.  [default: FILE.labelled.*]"),
    click.option("--force", is_flag=True, help="Replace an output that exists."),
    click.option("--raw", is_flag=True, help="Leave cells that spreadsheets take for formulas as "
                 "they are."),
    click.option("--meta-prefix", metavar="PREFIX", default="_", show_default=True,
                 help="What the names of status, error and token columns begin with."),
    click.option("--no-meta", is_flag=True, help="Without these columns."),
)  # fmt: skip

cap_options = stacked(
    click.option("--max-cost", metavar="DOLLARS", type=Positive(), help="Stop before this is "
                 "spent."),
    click.option("--max-tokens-total", metavar="N", type=Amount(), help="Stop before this many "
                 "tokens, in and out together."),
    click.option("--max-hours", metavar="H", type=Positive(), help="Stop after this long."),
)  # fmt: skip

_pace_options = stacked(
    click.option("--batch-size", metavar="N", type=click.IntRange(1, 100_000),
                 help="Rows in one batch at most."),
    click.option("--in-process", metavar="N", type=click.IntRange(1), default=4, show_default=True,
                 help="Batches on the server at once."),
    click.option("--repair", metavar="N", type=click.IntRange(0), default=1, show_default=True,
                 help="How often an answer that does not fit the schema is asked for again."),
    cap_options,
)  # fmt: skip

progress_option = click.option(
    "--progress", "mode", type=click.Choice(["auto", "bar", "plain", "json", "none"]),
    default="auto", show_default=True,
    help="A bar on a terminal, else plain lines; or one of them always.",
)  # fmt: skip

fail_on_option = click.option(
    "--fail-on", metavar="any|RATE|never", type=FailOn(), default="any", show_default=True,
    help="From which share of failed rows on the exit code is 3.",
)  # fmt: skip

_manner_options = stacked(
    click.option("--sample", metavar="N", type=click.IntRange(1), default=SAMPLE_ROWS,
                 show_default=True, help="Rows really asked for the estimate."),
    click.option("--no-sample", is_flag=True, help="Estimate without asking any."),
    click.option("--yes", is_flag=True, help="Do not ask before running."),
    click.option("--dry-run", is_flag=True, help="Show three rendered rows, send nothing."),
    click.option("--new", is_flag=True, help="A fresh run, whatever was begun before."),
    click.option("--only-missing", is_flag=True, help="Go on with a changed prompt: rows that have "
                 "an answer keep it."),
    fail_on_option,
    progress_option,
)  # fmt: skip

run_options = stacked(
    click.argument("file", metavar="FILE"),
    _question_options, _place_options, _target_options, _input_options, _pace_options,
    _manner_options, json_options,
)  # fmt: skip
