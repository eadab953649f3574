"""A batch of the other server as it is remembered: one small file, its requests and its results."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

LIFE_SECONDS = 24 * 3600
KEPT_SECONDS = 29 * 24 * 3600
OUTCOMES = ("succeeded", "errored", "canceled", "expired")


@dataclass
class Batch:
    """`number` counts creates, so it is the order of the list. Times are seconds since 1970."""

    id: str
    number: int
    total: int
    version: str
    created_at: float
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))
    cancel_initiated_at: float | None = None
    ended_at: float | None = None
    archived_at: float | None = None
    deleted: bool = False

    @property
    def status(self) -> str:
        if self.ended_at is not None:
            return "ended"
        return "canceling" if self.cancel_initiated_at is not None else "in_progress"

    def shown(self, origin: str) -> dict[str, Any]:
        """The object as the API shows it: counts move once, when the batch ends."""
        ended = self.ended_at is not None
        counts = self.counts if ended else dict.fromkeys(OUTCOMES, 0)
        readable = ended and self.archived_at is None
        return {
            "id": self.id,
            "type": "message_batch",
            "processing_status": self.status,
            "request_counts": {"processing": 0 if ended else self.total, **counts},
            "ended_at": _time(self.ended_at),
            "created_at": _time(self.created_at),
            "expires_at": _time(self.created_at + LIFE_SECONDS),
            "archived_at": _time(self.archived_at),
            "cancel_initiated_at": _time(self.cancel_initiated_at),
            "results_url": f"{origin}/v1/messages/batches/{self.id}/results" if readable else None,
        }


class Shelf:
    """The files of all batches under one folder. What is kept here survives `kill -9`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "batches"
        self._folder.mkdir(parents=True, exist_ok=True)

    def load(self) -> list[Batch]:
        """Every batch there ever was, oldest first, deleted ones too."""
        found = [
            Batch(**json.loads(path.read_bytes())) for path in self._folder.glob("*.batch.json")
        ]
        return sorted(found, key=lambda batch: batch.number)

    def keep(self, batch: Batch) -> None:
        self._write(f"{batch.id}.batch.json", json.dumps(asdict(batch)).encode())

    def keep_requests(self, batch_id: str, entries: list[dict[str, Any]]) -> None:
        lines = "".join(json.dumps(entry) + "\n" for entry in entries)
        self._write(f"{batch_id}.requests.jsonl", lines.encode())

    def requests(self, batch_id: str) -> list[dict[str, Any]]:
        text = (self._folder / f"{batch_id}.requests.jsonl").read_bytes()
        return [json.loads(line) for line in text.splitlines()]

    def keep_results(self, batch_id: str, lines: list[str]) -> None:
        self._write(f"{batch_id}.results.jsonl", "".join(f"{line}\n" for line in lines).encode())

    def results(self, batch_id: str) -> Path:
        return self._folder / f"{batch_id}.results.jsonl"

    def drop(self, batch_id: str) -> None:
        for kind in ("requests", "results"):
            (self._folder / f"{batch_id}.{kind}.jsonl").unlink(missing_ok=True)

    def _write(self, name: str, content: bytes) -> None:
        """Whole or not at all, whenever the process is killed."""
        fresh = self._folder / f"{name}.new"
        fresh.write_bytes(content)
        os.replace(fresh, self._folder / name)


def _time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")
