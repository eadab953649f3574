"""A run with its rows, its question and its server together: what every verb of it works on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from batchyard.cli.runs.options.asked import Input
from batchyard.cli.runs.output import STDOUT
from batchyard.cli.runs.place import Place
from batchyard.cli.runs.said.words import Group
from batchyard.errors import BatchyardError, StorageError

if TYPE_CHECKING:
    from batchyard.pipeline.estimate.budget import Budget
    from batchyard.pipeline.estimate.ground import Ground
    from batchyard.pipeline.estimate.prices.price import Price
    from batchyard.pipeline.estimate.prices.prices import Prices
    from batchyard.pipeline.labelled import Labelling
    from batchyard.pipeline.prompt import ReadyMade, Task
    from batchyard.pipeline.run import Allowance, Progress, Runner, RunStore
    from batchyard.pipeline.source import Source

READY_MODELS = "the models that the requests name"

KEPT = "stdin-"
"""How a folder begins that rows of standard input lie in until they have a run."""


OWN = "own"
"""How a run names the server of its own, whose address is another one each time."""


@dataclass(slots=True)
class Begun:
    """All that a run is made of while a verb works on it; the store is locked for it.

    `price` is what its tokens or hours cost where its rows go, None where that is not known.
    """

    store: RunStore
    source: Source
    task: Task | ReadyMade
    labelling: Labelling
    at: Place
    prices: Prices
    ground: Ground
    price: Price | None

    @property
    def model(self) -> str:
        """What is asked, by name; ready-made requests may each name another."""
        return self.task.model or READY_MODELS

    def runner(
        self,
        allowance: Allowance | None = None,
        on_progress: Callable[[Progress], object] | None = None,
    ) -> Runner:
        """What sends and collects the rows of this run."""
        from batchyard.pipeline.run import Runner

        caps = {} if allowance is None else {"allowance": allowance}
        return Runner(
            self.store,
            self.source,
            self.task,
            self.at.client,
            options=self.store.manifest.options,
            place=OWN if self.at.own else None,
            on_progress=on_progress,
            **caps,
        )

    async def prepare(self, *, only_missing: bool = False, retry: list[str] | None = None) -> None:
        """Write down every row; those that failed with a kind of `retry` wait again.

        Raises `RunChanged`, `BadInput`, `BadPrompt`; nothing was sent.
        """
        runner = self.runner()
        await runner.prepare(only_missing=only_missing, kinds=retry)
        if retry and not only_missing:
            runner.retry(retry)

    async def standing(self) -> tuple[int, int, int]:
        """Rows that are done, failed, and left, with those whose answers a server still has."""
        totals = self.store.totals
        done, failed = totals.succeeded, totals.failed
        for batch in self.store.unfinished():
            if batch.batch_id is None:
                continue
            with suppress(BatchyardError):
                counts = (await self.at.client.retrieve(batch.batch_id)).request_counts
                done += counts.succeeded
                failed += counts.errored + counts.canceled + counts.expired
        return done, failed, max(0, totals.rows - done - failed)

    def budget(self) -> Budget:
        """The caps of the run, with what it has spent already."""
        from batchyard.pipeline.estimate.budget import Budget, Spent
        from batchyard.pipeline.estimate.caps import Caps
        from batchyard.pipeline.estimate.prices.price import Tokens

        caps, totals = self.store.manifest.caps, self.store.totals
        tokens = Tokens(totals.input_tokens, totals.output_tokens, requests=max(1, totals.ended))
        cost = self.price.cost(tokens, batch=True) if self.price else Decimal(0)
        clock, began = self.at.client.clock, self.at.client.clock.monotonic()
        before = totals.seconds
        return Budget(
            Caps(
                None if caps.max_cost is None else Decimal(caps.max_cost),
                caps.max_tokens_total,
                caps.max_hours,
            ),
            rows=totals.rows,
            max_tokens=self.task.max_tokens or 0,
            price=self.price,
            model=self.model,
            hours=lambda: (before + clock.monotonic() - began) / 3600,
            spent=Spent(
                totals.ended, totals.succeeded, totals.input_tokens, totals.output_tokens, cost
            ),
        )

    def groups(self) -> list[Group]:
        """Failed rows by kind, the commonest first, each with an error of one of them."""
        found = []
        for kind, many in self.store.kinds().items():
            one = next(self.store.failed([kind]))
            found.append(Group(kind, many, one.error or "", one.attempts))
        return found

    def write(self) -> int:
        """Write the labelled file, whole or not at all; returns its rows. Raises `BadOutput`."""
        import msgspec

        from batchyard.pipeline.labelled import labelled
        from batchyard.pipeline.sink import open_sink

        output = self.store.manifest.output
        assert output.path is not None
        rows = 0
        with open_sink(
            output.path,
            columns=self.labelling.columns,
            format=output.format,
            raw=output.raw,
            like=self.source.schema,
        ) as sink:
            for values in labelled(self.source.rows(), self.store.outcomes(), self.labelling):
                sink.write(values)
                rows += 1
            sink.commit()
        if output.path != STDOUT:
            # From now on it is the run's own file, which a retry writes again.
            self.store.rewrite(output=msgspec.structs.replace(output, force=True))
        return rows


def begun(
    store: RunStore, source: Source, task: Task | ReadyMade, labelling: Labelling, at: Place
) -> Begun:
    """A run at a server, its model named. Raises `BadPrompt` where that is not clear."""
    from batchyard.pipeline.estimate.ground import ground
    from batchyard.pipeline.estimate.prices.prices import Prices
    from batchyard.pipeline.prompt import ReadyMade

    if not isinstance(task, ReadyMade):
        before = store.manifest.task.get("model") if store.totals.prepared else None
        task = task.changed(model=at.model(task.model or before))
        if not store.totals.prepared:
            store.rewrite(task=task.as_manifest())
    prices = Prices()
    where = ground(at.readiness, task.model or READY_MODELS)
    price = where.price(task.model or READY_MODELS, prices)
    return Begun(store, source, task, labelling, at, prices, where, price)


@contextmanager
def discarded_if_empty(store: RunStore) -> Iterator[None]:
    """Leave no folder behind for a run that a fault stopped before anything was sent."""
    try:
        yield
    except StorageError:
        raise  # what was written down is gone on from when there is room
    except BaseException:
        if not store.batches() and not store.totals.succeeded and not store.totals.failed:
            store.discard()
        raise


def kept(source: Source, store: RunStore, given: Input) -> Source:
    """Rows that came by standard input, moved into the folder of their run; others as they are.

    A run that has them already keeps its own.
    """
    import msgspec

    from batchyard.pipeline.source import open_source

    if not source.path.parent.name.startswith(KEPT):
        return source
    target = store.path / "input"
    source.path.replace(target)
    source.path.parent.rmdir()
    path = str(target.absolute())
    store.rewrite(input=msgspec.structs.replace(store.manifest.input, path=path))
    return open_source(target, format=source.format, encoding=given.encoding, name=source.name)
