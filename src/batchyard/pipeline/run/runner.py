"""The runner: takes a run through its steps, each of which can also be taken alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from batchyard.pipeline.row import Outcome
from batchyard.pipeline.run.contract import Allowance, ServerLike, SourceLike, TaskLike, Unlimited
from batchyard.pipeline.run.progress import Progress
from batchyard.pipeline.run.store import Options, RunStore


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collect brought: rows that ended, and rows that wait to be asked again.

    `unknown` holds the first custom_ids of lines that belong to no row of their batch.
    """

    rows: int = 0
    again: int = 0
    unknown: tuple[str, ...] = ()


class Runner:
    """Runs `store` against one server, at which its batches are known by `place`.

    `place` is the server's address if not given; a server of the run's own, whose address
    changes, needs a name that stays. Cancelling any step loses nothing: what was sent goes on at
    the server, and the next runner picks it up.
    """

    def __init__(
        self,
        store: RunStore,
        source: SourceLike,
        task: TaskLike,
        server: ServerLike,
        *,
        options: Options | None = None,
        place: str | None = None,
        allowance: Allowance = Unlimited(),
        on_progress: Callable[[Progress], object] | None = None,
    ) -> None: ...

    async def prepare(
        self, *, only_missing: bool = False, kinds: Collection[str] | None = None
    ) -> int:
        """Check and write down every row; nothing is sent. Returns how many wait to be asked.

        On a run that was begun: raises `RunChanged` when the input or the task are others than it
        began with. With `only_missing` rows that have an answer keep it, those that wait and those
        that failed (with one of `kinds`) are asked the new task. Raises `BadInput`, `BadPrompt`.
        """
        ...

    async def submit(self) -> int:
        """Send batches until no row waits or enough are in process; returns how many were sent."""
        ...

    async def wait(self) -> None:
        """Until every batch on the server has ended."""
        ...

    async def collect(self) -> Collected:
        """Keep the answers of all batches that have ended."""
        ...

    async def run(self) -> None:
        """Submit, wait and collect until every row has ended; raises `CapReached`."""
        ...

    def failed(self, kinds: Collection[str] | None = None) -> Iterator[Outcome]: ...
    def retry(self, kinds: Collection[str] | None = None) -> int: ...
