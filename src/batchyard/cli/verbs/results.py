"""`batchyard results`: every line of an ended batch, to a file or to standard output."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from batchyard.cli import shown, talk
from batchyard.cli.failures import Stopped
from batchyard.cli.options import server_options
from batchyard.cli.program import Verb
from batchyard.cli.session import ask
from batchyard.client import Arrival, Client, PartFile, Receipt
from batchyard.errors import NotFound
from batchyard.wire import MessageBatch


@click.command(
    cls=Verb,
    examples=(
        "batchyard results msgbatch_01JD9V6M2QWq8TzYbNc4RfKe -o results.jsonl",
        "batchyard results msgbatch_01JD9V6M2QWq8TzYbNc4RfKe | jq -r .custom_id",
    ),
    help="Fetch the results of a batch that has ended.\n\n"
    "One JSON object a line, in any order: join them by custom_id. A file appears under its name "
    "only when every line is there; after a break, run it again and it goes on where it stopped. "
    "With --json a summary is printed: to standard error when the results go to standard output.",
)
@click.argument("batch_id", metavar="ID")
@click.option(
    "-o", "--output", metavar="FILE", default="-", show_default=True,
    help="Where to write them; - is standard output.",
)  # fmt: skip
@server_options
def results_command(*, batch_id: str, output: str, server: str, as_json: bool) -> None:
    async def fetch(client: Client) -> tuple[MessageBatch, Receipt]:
        batch = await client.retrieve(batch_id)
        if batch.results_url is None:
            raise _not_there(batch)
        if output == "-":
            return batch, await client.results(batch, sys.stdout.buffer)
        return batch, await _to_file(client, batch, Path(output))

    try:
        batch, receipt = ask(server, fetch, batch_id=batch_id)
    except KeyboardInterrupt:
        raise Stopped("interrupted; run it again and a file goes on where it stopped") from None
    fields = {
        "batch": shown.as_json(batch),
        "path": output,
        "lines": receipt.lines,
        "bytes": receipt.bytes,
    }
    if as_json and output == "-":
        talk.say(talk.envelope("done", fields))
    elif as_json:
        talk.event("done", **fields)
    else:
        where = "" if output == "-" else f" in {output}"
        talk.say(f"{shown.number(receipt.lines)} results{where}: {shown.outcomes(batch)}")


async def _to_file(client: Client, batch: MessageBatch, target: Path) -> Receipt:
    """Write `target` whole or not at all; what an earlier run has kept is not fetched again."""
    arrival = Arrival()
    file = PartFile(target, batch.id)
    try:
        kept = file.open(arrival)
        if kept:
            talk.say(f"going on after {shown.number(kept)} bytes in {file.part}")
        receipt = await client.results(batch, file, arrival=arrival)
        file.keep()
    finally:
        file.close()
    return receipt


def _not_there(batch: MessageBatch) -> NotFound:
    """Why there are no results, and when there will be."""
    if batch.archived_at is not None:
        return NotFound(
            f"the results of {batch.id} were deleted on {batch.archived_at[:10]}; "
            "the batch and its counts are kept",
            code="results_expired",
            fix="results are kept for 29 days after creation unless the server is set otherwise",
        )
    return NotFound(
        f"{batch.id} has not ended, so there are no results yet ({shown.outcomes(batch)})",
        code="results_not_ready",
        fix=f"batchyard watch {batch.id}",
    )
