"""The results of a batch on disk: fetched whole, continued after a break, checked to be ours."""

from __future__ import annotations

from pathlib import Path

from batchyard.client.results import Arrival, PartFile, WrongCount
from batchyard.pipeline.run.collecting.lines import decoded
from batchyard.pipeline.run.contract import ServerLike
from batchyard.pipeline.run.patience import Patience
from batchyard.wire import MessageBatch


class NotOurs(Exception):
    """The batch is not the one that it was taken for."""


class _Suspicious:
    """Lets bytes through to a file once the first line has shown whose they are."""

    def __init__(self, file: PartFile, prefix: str) -> None:
        self._file, self._prefix = file, prefix
        self._first = b""
        self._known = False

    def write(self, piece: bytes) -> None:
        if not self._known:
            self._first += piece
            line, end, _ = self._first.partition(b"\n")
            if not end:
                return
            check_ours(line, self._prefix)
            self._known, piece = True, self._first
        self._file.write(piece)

    def end(self) -> None:
        """No more bytes come: the first line may have been the only one, or none."""
        if not self._known:
            check_ours(self._first, self._prefix)
            self._file.write(self._first)


async def fetch(
    server: ServerLike, batch: MessageBatch, target: Path, prefix: str, patience: Patience
) -> None:
    """Have the results of an ended batch at `target`; durable on return.

    `prefix` is what the custom_ids must begin with, "" where the batch is surely ours; raises
    `NotOurs`. A count of lines that stays wrong is accepted: rows without a line are told then.
    """
    if is_there(target):
        return
    tries = 0

    async def once() -> None:
        nonlocal tries
        file = PartFile(target, batch.id)
        arrival = Arrival()
        try:
            if prefix:
                file.part.unlink(missing_ok=True)
            file.open(arrival)
            sink = _Suspicious(file, prefix) if prefix else file
            try:
                await server.results(batch, sink, arrival=arrival)
            except WrongCount:
                tries += 1
                if tries == 1:
                    file.close()
                    file.part.unlink(missing_ok=True)
                    raise
            if isinstance(sink, _Suspicious):
                sink.end()
            file.keep()
        finally:
            file.close()

    try:
        await patience.through(once)
    except WrongCount:
        await patience.through(once)


def is_there(target: Path) -> bool:
    """Whether the results are whole on disk; makes the folder for them."""
    target.parent.mkdir(exist_ok=True)
    return target.exists()


def check_ours(line: bytes, prefix: str) -> None:
    """Raise `NotOurs` where the first line of some results is not one of ours."""
    first = decoded(line)
    if first is None or not first.custom_id.startswith(prefix):
        raise NotOurs
