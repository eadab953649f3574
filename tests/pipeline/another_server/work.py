"""How the requests of one batch are worked through, and what becomes of each."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Sequence
from typing import Any

from tests.pipeline.another_server import answers, params
from tests.pipeline.another_server.batch import LIFE_SECONDS, Batch, Shelf
from tests.pipeline.another_server.bell import Bell
from tests.pipeline.another_server.errors import Unfit
from tests.pipeline.another_server.faults import Faults

SLICE = 250
"""Requests worked through at most before anything else may happen."""

SLICES = 20
"""Parts of a small batch, so that it can be canceled half way."""


class Work:
    """Takes one batch to its end."""

    def __init__(
        self,
        batch: Batch,
        shelf: Shelf,
        faults: Faults,
        models: Sequence[str],
        now: Callable[[], float],
        bell: Bell,
    ) -> None:
        self._batch = batch
        self._shelf = shelf
        self._faults = faults
        self._models = models
        self._now = now
        self._bell = bell

    async def run(self) -> None:
        """Work until the batch has ended; its counts, results and end appear together."""
        batch, entries = self._batch, self._shelf.requests(self._batch.id)
        lines: list[str] = []
        size = min(SLICE, -(-len(entries) // SLICES))
        while len(lines) < len(entries):
            part = entries[len(lines) : len(lines) + size]
            await self._pause(self._faults.seconds * len(part) / len(entries))
            if not self._goes_on():
                break
            lines += [self._line(entry) for entry in part]
        rest = "canceled" if batch.cancel_initiated_at is not None else "expired"
        for entry in entries[len(lines) :]:
            lines.append(_line(entry["custom_id"], {"type": rest}))
            batch.counts[rest] += 1
        await self._bell.sleep(self._faults.ending_seconds)
        random.Random(batch.id).shuffle(lines)
        self._shelf.keep_results(batch.id, lines)
        batch.ended_at = min(self._now(), batch.created_at + LIFE_SECONDS)
        self._shelf.keep(batch)

    async def _pause(self, seconds: float) -> None:
        """So much time for a part, longer while the server is held, less for a batch that ends."""
        await asyncio.sleep(0)
        while self._goes_on() and self._faults.held:
            await self._bell.wait(None)
        await self._bell.sleep(seconds, self._goes_on)

    def _goes_on(self) -> bool:
        batch = self._batch
        in_time = self._now() < batch.created_at + LIFE_SECONDS
        return batch.cancel_initiated_at is None and in_time

    def _line(self, entry: dict[str, Any]) -> str:
        result = self._result(entry)
        self._batch.counts[result["type"]] += 1
        return _line(entry["custom_id"], result)

    def _result(self, entry: dict[str, Any]) -> dict[str, Any]:
        try:
            params.check(entry["params"], version=self._batch.version, models=self._models)
        except Unfit as error:
            return _errored(error.type, error.message)
        fate = self._faults.fate(entry["custom_id"], entry["ask"])
        if fate == "permanent":
            return _errored("invalid_request_error", "messages: this one is never answered")
        if fate == "transient":
            return _errored("overloaded_error", "Overloaded")
        if fate == "expired":
            return {"type": "expired"}
        message = answers.message(entry["params"], misfit=fate == "misfit")
        return {"type": "succeeded", "message": message}


def _errored(type: str, message: str) -> dict[str, Any]:
    error = {"details": {"error_visibility": "user_facing"}, "type": type, "message": message}
    return {"type": "errored", "error": {"type": "error", "error": error, "request_id": None}}


def _line(custom_id: str, result: dict[str, Any]) -> str:
    return json.dumps({"custom_id": custom_id, "result": result}, separators=(",", ":"))
