"""What the other server was asked, one JSON line a request, on disk before the answer leaves."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.pipeline.another_server.faults import row_of

NAME = "ledger.jsonl"


@dataclass(frozen=True)
class Asked:
    """One request: `row` is the custom_id without the batch's part, `ask` counts from 1 how often
    that row was asked, `params` is the digest of what was asked; a live call has no batch."""

    batch: str
    custom_id: str
    row: str
    ask: int
    params: str


class Ledger:
    """Appends to a file, which outlives the process however that ends."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._times: Counter[str] = Counter(times_asked(self._path))
        self._file = self._path.open("ab", buffering=0)

    def enter(self, batch: str, entries: Iterable[dict[str, Any]]) -> list[int]:
        """Write down that these requests were asked; returns how often each one's row was."""
        lines, asks = [], []
        for entry in entries:
            row = row_of(entry["custom_id"])
            self._times[row] += 1
            asks.append(self._times[row])
            asked = Asked(batch, entry["custom_id"], row, asks[-1], digest(entry["params"]))
            lines.append(json.dumps(asdict(asked)))
        self._file.write("".join(line + "\n" for line in lines).encode())
        return asks

    def close(self) -> None:
        self._file.close()


def digest(params: dict[str, Any]) -> str:
    """The same for params that ask the same, however their keys are ordered."""
    text = json.dumps(params, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def read_ledger(path: Path) -> Iterator[Asked]:
    """Every request that was asked, in order. A line cut short by a kill is left out."""
    if not path.exists():
        return
    with path.open("rb") as lines:
        for line in lines:
            if line.endswith(b"\n"):
                yield Asked(**json.loads(line))


def times_asked(path: Path) -> Counter[str]:
    """How often each row was asked, in batches; `path` is the ledger's file."""
    return Counter(asked.row for asked in read_ledger(path) if asked.batch)
