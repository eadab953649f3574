"""`create`, `retrieve`, `list`, `cancel`, `delete`: the short verbs of a batch."""

from __future__ import annotations

import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import click

from batchyard.cli import shown, talk
from batchyard.cli.failures import Stopped
from batchyard.cli.options import server_options
from batchyard.cli.program import Verb
from batchyard.cli.session import ask
from batchyard.client import Client, Lost, RequestsFile
from batchyard.clock import SystemClock
from batchyard.wire import MessageBatch


@click.command(
    cls=Verb,
    examples=(
        "batchyard create requests.jsonl",
        "batchyard create - --json < requests.jsonl",
    ),
    help="Create a batch from a file of requests.\n\n"
    'FILE holds one object a line, {"custom_id": …, "params": {…}}; - reads standard input. The '
    "whole file is checked before anything is sent. Prints the id of the new batch.",
)
@click.argument("file", metavar="FILE")
@click.option(
    "--idempotency-key",
    metavar="KEY",
    help="Makes running this again safe: the same key and file find the same batch.",
)
@server_options
def create_command(*, file: str, idempotency_key: str | None, server: str, as_json: bool) -> None:
    key = idempotency_key or secrets.token_hex(16)
    again = f"batchyard create {file} --idempotency-key {key}   (finds the batch if there is one)"
    with _requests(file) as requests:
        try:
            batch = ask(server, lambda client: client.create(requests, idempotency_key=key))
        except Lost as error:
            error.fix = again
            raise
        except KeyboardInterrupt:
            raise Stopped(f"interrupted while sending; to go on:\n{again}") from None
    if as_json:
        talk.event("created", batch=shown.as_json(batch))
        return
    talk.data(batch.id)
    expires = shown.moment(batch.expires_at, SystemClock().now())
    talk.say(f"created with {shown.requests(batch)}; expires {expires}")
    talk.say(f"follow it:   batchyard watch {batch.id}")


@contextmanager
def _requests(file: str) -> Iterator[RequestsFile]:
    """The checked file. What flows past only once, standard input and pipes, is kept in a file
    first: it is read once to check it and once for each time it is sent."""
    path = Path(file)
    if file != "-" and not path.is_fifo():
        yield RequestsFile(path)
        return
    with tempfile.NamedTemporaryFile(prefix="batchyard-", suffix=".jsonl") as kept:
        with nullcontext(sys.stdin.buffer) if file == "-" else path.open("rb") as source:
            shutil.copyfileobj(source, kept)
        kept.flush()
        yield RequestsFile(Path(kept.name), name="stdin" if file == "-" else file)


@click.command(
    cls=Verb,
    examples=(
        "batchyard retrieve msgbatch_01JD9V6M2QWq8TzYbNc4RfKe",
        "batchyard retrieve msgbatch_01JD9V6M2QWq8TzYbNc4RfKe --json",
    ),
    help="Show one batch.\n\nIts state, counts and moments, as they are now.",
)
@click.argument("batch_id", metavar="ID")
@server_options
def retrieve_command(*, batch_id: str, server: str, as_json: bool) -> None:
    show_batch(batch_id, server, as_json=as_json)


def show_batch(batch_id: str, server: str, *, as_json: bool) -> None:
    """Print one batch as it is now."""
    batch = ask(server, lambda client: client.retrieve(batch_id), batch_id=batch_id)
    _show(batch, as_json=as_json)


@click.command(
    cls=Verb,
    examples=("batchyard list", "batchyard list --limit 1000 --json"),
    help="List batches, newest first.\n\nOne line each: id, status, requests done, failed, age.",
)
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, help="Batches at most."
)
@click.option("--all", "everything", is_flag=True, help="All there are, however many.")
@server_options
def list_command(*, limit: int, everything: bool, server: str, as_json: bool) -> None:
    async def collect(client: Client) -> tuple[list[MessageBatch], bool]:
        found: list[MessageBatch] = []
        async for batch in client.list(page=1000 if everything else min(limit, 1000)):
            if len(found) == limit and not everything:
                return found, True
            found.append(batch)
        return found, False

    batches, has_more = ask(server, collect)
    if as_json:
        talk.event("batches", batches=shown.as_json(batches), has_more=has_more)
        return
    if not batches:
        talk.say("no batches yet; make one with: batchyard create FILE.jsonl")
        return
    for line in shown.batch_table(batches, SystemClock().now()):
        talk.data(line)
    if has_more:
        talk.say("there are more: --limit N or --all")


@click.command(
    cls=Verb,
    examples=(
        "batchyard cancel msgbatch_01JD9V6M2QWq8TzYbNc4RfKe",
        "batchyard cancel msgbatch_01JD9V6M2QWq8TzYbNc4RfKe --json",
    ),
    help="Stop what has not been sent yet.\n\n"
    "What has its result keeps it; what is running may still finish; the rest ends as canceled.",
)
@click.argument("batch_id", metavar="ID")
@server_options
def cancel_command(*, batch_id: str, server: str, as_json: bool) -> None:
    batch = ask(server, lambda client: client.cancel(batch_id), batch_id=batch_id)
    _show(batch, as_json=as_json)
    if as_json:
        return
    if batch.processing_status == "ended":
        talk.say("it had ended already; nothing was changed")
    else:
        kept = shown.number(shown.settled(batch))
        talk.say(f"canceling; {kept} finished results stay available once it has ended")


@click.command(
    cls=Verb,
    examples=(
        "batchyard delete msgbatch_01JD9V6M2QWq8TzYbNc4RfKe",
        "batchyard delete msgbatch_01JD9V6M2QWq8TzYbNc4RfKe --json",
    ),
    help="Delete a batch that has ended, with its results.\n\n"
    "It cannot be brought back. A batch that has not ended must be canceled first.",
)
@click.argument("batch_id", metavar="ID")
@server_options
def delete_command(*, batch_id: str, server: str, as_json: bool) -> None:
    deleted = ask(server, lambda client: client.delete(batch_id), batch_id=batch_id)
    if as_json:
        talk.event("deleted", id=deleted.id)
    else:
        talk.data(deleted.id)
        talk.say("deleted, with its results")


def _show(batch: MessageBatch, *, as_json: bool) -> None:
    if as_json:
        talk.event("batch", batch=shown.as_json(batch))
        return
    for line in shown.batch_lines(batch, SystemClock().now()):
        talk.data(line)
