"""Results on their way out: every byte once, continued after a break, counted against the batch."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from batchyard.client.http import Download, Http, retry_seconds
from batchyard.clock import Clock
from batchyard.errors import NotThisApi, ServerUnreachable
from batchyard.wire import MessageBatch

READ_BYTES = 1024 * 1024

OVERLAP_BYTES = 64 * 1024
"""What is fetched again of a beginning, to be compared: power may have failed while it was kept."""


class Sink(Protocol):
    """Where result bytes go, in order."""

    def write(self, piece: bytes, /) -> object: ...


@dataclass(frozen=True, slots=True)
class Receipt:
    """What arrived: every line of the batch."""

    lines: int
    bytes: int


class WrongCount(NotThisApi):
    """The results came to their end and are not as many as the batch says."""


class Arrival:
    """The bytes that have come so far: how many, their digest, and how many lines they are.

    Result bytes of an ended batch never change, so a download that broke off is continued where it
    ended if the server has ranges; if not, by asking again and passing over what is here already.
    Either way the bytes that come twice must prove to be the same.
    """

    def __init__(self) -> None:
        self.bytes = self.lines = 0
        self._digest = hashlib.sha256()
        self._ends_whole = True
        self.tail = b""  # the last OVERLAP_BYTES

    def add(self, piece: bytes) -> None:
        """Account for the next bytes."""
        self.bytes += len(piece)
        self.lines += piece.count(b"\n")
        self._digest.update(piece)
        self._ends_whole = piece.endswith(b"\n")
        before = self.tail if len(piece) < OVERLAP_BYTES else b""
        self.tail = (before + piece)[-OVERLAP_BYTES:]

    def add_file(self, file: IO[bytes]) -> None:
        """Account for what an earlier run has kept."""
        while piece := file.read(READ_BYTES):
            self.add(piece)

    def digest(self, first: int = 0) -> bytes:
        """Of everything, or of what came from the byte `first` on, where the tail begins."""
        return hashlib.sha256(self.tail).digest() if first else self._digest.digest()

    @property
    def whole_lines(self) -> int:
        """Lines, counting a last one without its line end: some servers leave it out."""
        return self.lines + (not self._ends_whole)


async def fetch(
    http: Http, clock: Clock, batch: MessageBatch, sink: Sink, arrival: Arrival
) -> Receipt:
    """Write the results of `batch`, from where `arrival` stands, to `sink`.

    Raises `ServerUnreachable` when they cannot be had whole: what was written stands and counts
    as a beginning. Raises `NotThisApi` when the server's bytes differ from that beginning.
    """
    path = f"/v1/messages/batches/{batch.id}/results"
    attempt = 0
    while True:
        before = arrival.bytes
        try:
            first = arrival.bytes - len(arrival.tail)
            async with http.stream(path, first, tag=batch.id) as download:
                async for piece in _after(arrival, download):
                    arrival.add(piece)
                    sink.write(piece)
            break
        except ServerUnreachable as error:
            attempt = 1 if arrival.bytes > before else attempt + 1
            wait = retry_seconds(error, attempt, 1.0)
            if wait is None:
                raise
            await clock.sleep(wait)
    _check(arrival, batch)
    return Receipt(arrival.whole_lines, arrival.bytes)


async def _after(arrival: Arrival, download: Download) -> AsyncIterator[bytes]:
    """The bytes beyond those that have arrived; checks that what comes again is the same."""
    to_skip, digest = arrival.bytes - download.first, hashlib.sha256()
    known_digest = arrival.digest(download.first)
    compared = to_skip == 0
    async for piece in download.pieces:
        known = piece[:to_skip]
        to_skip -= len(known)
        digest.update(known)
        if to_skip > 0:
            continue
        if not compared:
            if digest.digest() != known_digest:
                raise _differs(arrival)
            compared = True
        if len(piece) > len(known):
            yield piece[len(known) :]
    if to_skip > 0:
        raise _differs(arrival)


def _differs(arrival: Arrival) -> NotThisApi:
    return NotThisApi(
        f"the results differ from the {arrival.bytes:,} bytes that came before",
        fix="remove the unfinished file and fetch them again",
    )


def _check(arrival: Arrival, batch: MessageBatch) -> None:
    counts = batch.request_counts
    expected = counts.succeeded + counts.errored + counts.canceled + counts.expired
    if arrival.whole_lines != expected:
        raise WrongCount(
            f"{batch.id} has {expected:,} results and {arrival.whole_lines:,} lines came",
            fix="fetch them again; `batchyard doctor` tells more of the server",
        )


class PartFile:
    """A file that is either complete or not there: written beside `target`, then renamed.

    The unfinished file bears the batch's id, so a later run finds it and goes on from its end.
    """

    def __init__(self, target: Path, batch_id: str) -> None:
        self.target = target
        self.part = target.with_name(f"{target.name}.{batch_id}.part")
        self._file: IO[bytes] | None = None

    def open(self, arrival: Arrival) -> int:
        """Open for appending, after telling `arrival` what is there; returns its bytes."""
        self._file = self.part.open("a+b")
        self._file.seek(0)
        arrival.add_file(self._file)
        return arrival.bytes

    def write(self, piece: bytes) -> None:
        assert self._file is not None
        self._file.write(piece)

    def keep(self) -> None:
        """Give the complete file its name; it is durable before it has it."""
        assert self._file is not None
        self._file.flush()
        os.fsync(self._file.fileno())
        self.close()
        self.part.replace(self.target)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
