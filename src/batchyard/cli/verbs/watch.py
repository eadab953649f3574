"""`batchyard watch`: a batch followed until it ends; to stop watching never stops the batch."""

from __future__ import annotations

import asyncio

import click

from batchyard.cli import display, failures, shown, talk
from batchyard.cli.options import server_options
from batchyard.cli.program import Verb
from batchyard.cli.progress import Progress, View
from batchyard.cli.session import ask
from batchyard.client import Client
from batchyard.errors import NotFound
from batchyard.wire import MessageBatch


class Watching:
    """One batch on one display. `batch` is the last that was seen of it."""

    def __init__(self, screen: display.Display[View]) -> None:
        self.batch: MessageBatch | None = None
        self._display = screen

    async def follow(self, client: Client, batch_id: str | None) -> MessageBatch:
        """Show the batch, the newest unfinished one by default, until it has ended."""
        batch_id = batch_id or await _newest(client)
        progress = Progress()
        with self._display.open():
            async for snapshot in client.watch(batch_id):
                self.batch = snapshot.batch
                self._display.show(progress.see(snapshot))
        assert self.batch is not None
        return self.batch


async def _newest(client: Client) -> str:
    """The newest unfinished batch; the newest of all when every one has ended."""
    page = await client.page(limit=1000)
    unfinished = (batch for batch in page.data if batch.processing_status != "ended")
    newest = next(unfinished, None) or next(iter(page.data), None)
    if newest is None:
        raise NotFound("there is no batch to watch", fix="batchyard create FILE.jsonl")
    return newest.id


@click.command(
    cls=Verb,
    examples=(
        "batchyard watch",
        "batchyard watch msgbatch_01JD9V6M2QWq8TzYbNc4RfKe --progress plain",
    ),
    help="Follow a batch until it ends.\n\n"
    "Without ID the newest unfinished batch. Ctrl-C stops watching, never the batch. The exit code "
    "is 3 when it ended with requests that did not succeed. With --json every change is one event "
    "a line, the last one `done`.",
)
@click.argument("batch_id", metavar="[ID]", required=False)
@click.option(
    "--progress", "mode", type=click.Choice(["auto", "bar", "plain", "json", "none"]),
    default="auto", show_default=True,
    help="A bar on a terminal, else plain lines; or one of them always.",
)  # fmt: skip
@server_options
def watch_command(*, batch_id: str | None, mode: display.Mode, server: str, as_json: bool) -> int:
    as_json = as_json or mode == "json"
    watching = Watching(display.chosen(mode, display.OF_BATCHES, as_json=as_json))
    try:
        batch = ask(server, lambda client: watching.follow(client, batch_id), batch_id=batch_id)
    except (KeyboardInterrupt, asyncio.CancelledError):
        _interrupted(watching.batch, as_json=as_json)
        raise failures.Stopped from None
    code = failures.FAILED_REQUESTS if shown.failed(batch) else failures.OK
    if as_json:
        talk.event("done", batch=shown.as_json(batch), interrupted=False, exit_code=code)
    else:
        _tell_end(batch)
    return code


def _interrupted(batch: MessageBatch | None, *, as_json: bool) -> None:
    """Nothing has happened to the batch, and how to come back to it."""
    if as_json:
        seen = None if batch is None else shown.as_json(batch)
        talk.event("done", batch=seen, interrupted=True, exit_code=failures.INTERRUPTED)
    elif batch is not None:
        talk.say(f"stopped watching; {batch.id} keeps running on the server")
        talk.say(f"  attach:  batchyard watch {batch.id}")
        talk.say(f"  stop it: batchyard cancel {batch.id}")


def _tell_end(batch: MessageBatch) -> None:
    talk.data(f"{batch.id}  ended  {shown.outcomes(batch)}")
    if batch.results_url is None:
        talk.say("its results have been deleted; the counts are kept")
        return
    talk.say(f"results: batchyard results {batch.id} -o results.jsonl")
    if shown.failed(batch):
        pick = "jq -c 'select(.result.type != \"succeeded\")'"
        talk.say(f"failed:  batchyard results {batch.id} | {pick}")
