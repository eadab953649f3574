"""What the disk may hand back: result segments and request segments, however damaged."""

from __future__ import annotations

import json
from unittest.mock import patch

from batchyard.batches.result import Outcome
from batchyard.errors import Damaged
from batchyard.store import taken
from batchyard.store.recovery import read_results

KNOWN = frozenset(f"r-{number}" for number in range(8))


class Held:
    """Bytes as a segment."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def read(self, offset: int, length: int) -> bytes:
        assert offset >= 0
        assert length >= 0
        return self.data[offset : offset + length]

    def close(self) -> None: ...


def check_results(data: bytes) -> None:
    """Three bytes for how much was recorded, whether it is final, the windows; then the segment."""
    if len(data) < 3:
        return
    durable, final, window, segment = data[0] * 4, bool(data[1] % 2), data[2] + 1, data[3:]
    settled: dict[str, Outcome] = {}
    with patch.object(taken, "_WINDOW", window):
        found = read_results(Held(segment), set(KNOWN), settled, durable, final=final)
    counted = segment[: found.size]
    assert found.size <= len(segment)
    assert not final or found.size <= durable
    assert counted.endswith(b"\n") or not counted
    lines = counted.splitlines(keepends=True) if b"\r" not in counted else _lines(counted)
    told = {}
    for line in [*_lines(b"".join(lines)), *found.salvaged]:
        value = json.loads(line.decode())
        assert value["custom_id"] not in told, "two lines of one request"
        told[value["custom_id"]] = value["result"]["type"]
    assert told == settled
    assert settled.keys() <= KNOWN


def _lines(data: bytes) -> list[bytes]:
    return [line + b"\n" for line in data.split(b"\n")[:-1]]


def check_requests(data: bytes) -> None:
    """One byte for the windows, then a request segment: read as it was written, or told damaged."""
    if not data:
        return
    segment = data[1:]
    with patch.object(taken, "_WINDOW", data[0] + 1):
        try:
            found = taken.entries(Held(segment))
        except Damaged:
            return
    again = b"".join(
        taken.request_line(each.custom_id, segment[each.offset : each.offset + each.length])
        for each in found
    )
    assert again == segment[: len(again)]
    assert b"\n" not in segment[len(again) :]
