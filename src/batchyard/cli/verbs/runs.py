"""`runs` and `show`: which runs there are, and how the rows of one of them stand."""

from __future__ import annotations

from pathlib import Path

import click

from batchyard.cli import talk
from batchyard.cli.options import DEFAULT_SERVER, ServerUrl, json_options
from batchyard.cli.program import Verb


@click.command(
    cls=Verb,
    examples=("batchyard runs", "batchyard runs --all --json"),
    help="List the runs of this folder, newest first.\n\n"
    "One line each: id, state, rows done, failed, age, input.",
)
@click.option("--all", "everywhere", is_flag=True, help="Those of the folders below, too.")
@json_options
def runs_command(*, everywhere: bool, as_json: bool) -> None:
    from batchyard.cli.runs.said import listing

    found = listing.found(Path(), everywhere=everywhere)
    if as_json:
        talk.event("runs", runs=[listing.as_json(one) for one in found])
        return
    if not found:
        talk.say("no runs here yet; start one with: batchyard run FILE --prompt …")
        return
    for line in listing.table(found):
        talk.data(line)


@click.command(
    cls=Verb,
    examples=("batchyard show run_7Q2K", "batchyard show run_7Q2K --failed --json"),
    help="Show how a run stands, or a batch.\n\n"
    "ID is that of a run, its folder, or the id of a batch; without ID it is the newest run.",
)
@click.argument("name", metavar="[ID]", required=False)
@click.option("--failed", is_flag=True, help="The failed rows, one a line.")
@click.option(
    "--server",
    type=ServerUrl(),
    envvar=["BATCHYARD_SERVER", "ANTHROPIC_BASE_URL"],
    default=DEFAULT_SERVER,
    show_default=True,
    help="Where a batch is.",
)
@json_options
def show_command(*, name: str | None, failed: bool, server: str, as_json: bool) -> None:
    from batchyard.cli.runs.said import listing

    if name is not None and name.startswith("msgbatch_"):
        from batchyard.cli.verbs.batches import show_batch

        show_batch(name, server, as_json=as_json)
        return
    with listing.looked(name) as store:
        if failed:
            for line in listing.failed(store, as_json=as_json):
                talk.data(line)
        elif as_json:
            talk.event("run", **listing.as_json(store))
        else:
            for line in listing.lines(store):
                talk.data(line)
