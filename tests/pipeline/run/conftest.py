"""Runs to try things on, in a folder of their own, on a clock whose waits take no time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batchyard.pipeline.row import Outcome
from batchyard.pipeline.run import Input, Options, Progress, Runner, RunStore, preparing
from batchyard.pipeline.run.collecting import collector
from batchyard.pipeline.run.store import rows
from tests.client.conftest import QuickClock
from tests.pipeline.run.doubles import Ask, Rows, Server


class Bench:
    """One run, its source, task and server; begun again as often as wanted."""

    def __init__(self, home: Path, *, ours: bool = True) -> None:
        self.home = home
        self.clock = QuickClock()
        self.source = Rows(*[f"row {number}" for number in range(10)])
        self.task = Ask()
        self.server = Server(self.clock, ours=ours)
        self.options = Options(batch_size=4)
        self.seen: list[Progress] = []
        self._store: RunStore | None = None

    @property
    def store(self) -> RunStore:
        """The store of this process; made by the first who asks."""
        if self._store is None:
            if self.home.exists():
                self._store = RunStore.open(self.home)
            else:
                given = Input("rows", "rows.csv", "csv", self.source.fingerprint())
                self._store = RunStore.create(
                    self.home, given, self.task.as_manifest(), self.clock.now(),
                    options=self.options,
                )  # fmt: skip
        return self._store

    def runner(self, **more: Any) -> Runner:
        """A runner as a process that has just started makes it."""
        return Runner(
            self.store, self.source, self.task, self.server,
            on_progress=self.seen.append, **more,
        )  # fmt: skip

    async def finish(self, **more: Any) -> list[Outcome]:
        """Prepare and run to the end."""
        runner = self.runner(**more)
        await runner.prepare()
        await runner.run()
        return list(self.store.outcomes())

    def die(self) -> None:
        """What a process leaves behind."""
        if self._store is not None:
            self._store.close()
            self._store = None


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few rows in a transaction that ten of them make several."""
    for module in (rows, preparing, collector):
        monkeypatch.setattr(module, "PAGE_ROWS", 3)


@pytest.fixture(params=[True, False], ids=["ours", "elsewhere"])
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Against both kinds of server."""
    found = Bench(tmp_path / ".batchyard", ours=request.param)
    yield found
    found.die()
