"""`submit` and `convert`: files of any size as batches, and files as other files."""

from __future__ import annotations

import secrets
from pathlib import Path

import click

from batchyard.batches.limits import Limits
from batchyard.cli import shown, talk
from batchyard.cli.failures import Stopped
from batchyard.cli.options import json_options, server_options
from batchyard.cli.program import Verb
from batchyard.cli.runs.options.flags import FORMATS
from batchyard.cli.session import ask
from batchyard.client import Client, Lost, RequestsFile
from batchyard.errors import BatchyardError
from batchyard.wire import MessageBatch

LIMITS = Limits()


@click.command(
    cls=Verb,
    examples=(
        "batchyard submit requests.jsonl",
        "batchyard submit requests.jsonl --batch-size 10000 --json",
    ),
    help="Send ready-made requests, as many batches as they need.\n\n"
    'FILE holds one object a line, {"custom_id": …, "params": {…}}. The whole file is checked '
    "before anything is sent. Prints the id of each batch as it is created.",
)
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, exists=True,
                                                        dir_okay=False))  # fmt: skip
@click.option(
    "--batch-size",
    metavar="N",
    type=click.IntRange(1, LIMITS.requests_max),
    default=LIMITS.requests_max,
    show_default=True,
    help="Requests in one batch at most.",
)
@click.option(
    "--idempotency-key",
    metavar="KEY",
    help="Makes running this again safe: the same key and file find the same batches.",
)
@server_options
def submit_command(
    *, file: Path, batch_size: int, idempotency_key: str | None, server: str, as_json: bool
) -> None:
    parts = RequestsFile.split(file, batch_size, LIMITS.body_bytes_max)
    key = idempotency_key or secrets.token_hex(16)
    sending = _Sending(parts, key, as_json=as_json)
    size = "" if batch_size == LIMITS.requests_max else f"--batch-size {batch_size} "
    again = f"batchyard submit {file} {size}--idempotency-key {key}"
    try:
        ask(server, sending.send)
    except KeyboardInterrupt:
        raise Stopped(f"interrupted, {sending.so_far}; to go on:\n{again}") from None
    except BatchyardError as error:
        error.message += f"\n{sending.so_far}"
        if sending.batches or isinstance(error, Lost):
            error.fix = f"{again}   (finds the batches that exist)"
        raise
    sending.tell_end()


class _Sending:
    """The parts of a file on their way, one after the other."""

    def __init__(self, parts: list[RequestsFile], key: str, *, as_json: bool) -> None:
        self._parts, self._key, self._as_json = parts, key, as_json
        self.batches: list[MessageBatch] = []

    @property
    def so_far(self) -> str:
        """How much of it has arrived."""
        return f"{len(self.batches)} of {len(self._parts)} batches created"

    async def send(self, client: Client) -> None:
        """Create a batch of each part. What was created before a fault is in `batches`."""
        for number, part in enumerate(self._parts, 1):
            # With its own number each part finds its own batch when all are sent once more.
            batch = await client.create(part, idempotency_key=f"{self._key}-{number}")
            self.batches.append(batch)
            if self._as_json:
                talk.event("created", batch=shown.as_json(batch), part=number,
                           parts=len(self._parts))  # fmt: skip
            else:
                talk.data(batch.id)

    def tell_end(self) -> None:
        """What there is now, and how to follow it."""
        many = sum(part.requests for part in self._parts)
        ids = [batch.id for batch in self.batches]
        if self._as_json:
            talk.event("done", requests=many, batches=ids, exit_code=0)
            return
        batches = f"{len(ids)} batch{'es' * (len(ids) != 1)}"
        talk.say(f"{shown.number(many)} requests in {batches}")
        talk.say(f"follow it:   batchyard watch {ids[-1]}")


@click.command(
    cls=Verb,
    examples=(
        "batchyard convert reviews.csv reviews.parquet",
        "batchyard convert openai-batch.jsonl requests.jsonl",
    ),
    help="Turn a dataset into another format.\n\n"
    "Formats go by the names of the files. A batch file for Chat Completions becomes one for "
    "Messages. B appears only when all of it is there.",
)
@click.argument("source", metavar="A")
@click.argument("target", metavar="B")
@click.option("--format", type=click.Choice(FORMATS), help="What A is, where its name and "
              "beginning do not tell.")  # fmt: skip
@click.option("--encoding", metavar="E", default="utf-8", show_default=True, help="Of a text file.")
@click.option("--force", is_flag=True, help="Replace B if it exists.")
@click.option("--raw", is_flag=True, help="Leave cells that spreadsheets take for formulas as "
              "they are.")  # fmt: skip
@json_options
def convert_command(
    *, source: str, target: str, format: str | None, encoding: str, force: bool, raw: bool,
    as_json: bool,
) -> None:  # fmt: skip
    from batchyard.cli.runs.output import refuse_existing
    from batchyard.pipeline.sink import convert
    from batchyard.pipeline.source import open_source

    refuse_existing(target, force=force)
    rows = convert(open_source(source, format=format, encoding=encoding), target, raw=raw)
    if as_json and target == "-":
        talk.say(talk.envelope("done", {"path": target, "rows": rows, "exit_code": 0}))
    elif as_json:
        talk.event("done", path=target, rows=rows, exit_code=0)
    else:
        talk.say(f"wrote  {target}   {shown.number(rows)} rows")
