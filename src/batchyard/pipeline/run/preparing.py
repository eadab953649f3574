"""Preparing: one pass over the input, every row checked and written down; nothing is sent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator
from itertools import islice

from batchyard.errors import RunChanged
from batchyard.pipeline.run.contract import SourceLike, TaskLike
from batchyard.pipeline.run.sending.planning import check_input
from batchyard.pipeline.run.sending.reading import Reading
from batchyard.pipeline.run.store import RunStore
from batchyard.pipeline.run.store.rows import PAGE_ROWS

Breathe = Callable[[], Awaitable[None]]


async def enter(store: RunStore, source: SourceLike, task: TaskLike, breathe: Breathe) -> None:
    """Write down the rows that are not in the store yet, after a look at whether each can be asked.

    Raises `BadInput` and `BadPrompt` for the first that cannot; those before it stay.
    """
    first = store.totals.rows
    rows = iter(source.rows(first))
    while page := list(islice(_keys(rows, task, first), PAGE_ROWS)):
        store.enter(first, page)
        first += len(page)
        await breathe()
    store.prepared()


def _keys(rows: Iterator[dict[str, object]], task: TaskLike, first: int) -> Iterator[bytes]:
    for position, fields in enumerate(rows, first):
        task.params_of(fields, position=position)
        yield task.key(fields)


def check_unchanged(store: RunStore, source: SourceLike, task: TaskLike) -> None:
    """Raise `RunChanged` where the input or the task are others than the run began with."""
    check_input(store, source)
    lines = difference(store, task)
    if lines:
        what = f"what is asked has changed since {store.run} began:"
        kept = f"nothing more was sent, {store.totals.succeeded:,} answers are in {store.path}"
        raise RunChanged(
            "\n".join([what, *lines, kept]),
            fix="--new begins a fresh run\n"
            "or: --only-missing keeps the answers there are, and asks other rows the new way",
        )


def difference(store: RunStore, task: TaskLike) -> list[str]:
    """How `task` differs from what the run asks, [] when it asks the same."""
    began: TaskLike = type(task).from_manifest(store.manifest.task)
    return began.difference(task)


async def ask_otherwise(
    store: RunStore,
    source: SourceLike,
    task: TaskLike,
    kinds: Collection[str] | None,
    breathe: Breathe,
) -> None:
    """Have the rows that wait, and those that failed with one of `kinds`, asked `task`.

    All of them are checked before anything changes. Broken off, it can be done again.
    """
    store.retry(kinds)
    for write in (False, True):
        reading = Reading(source)
        rows = store.waiting()
        while page := list(islice(rows, PAGE_ROWS)):
            keys = []
            for row in page:
                fields = reading.at(row.position)
                if not write:
                    task.params_of(fields, position=row.position)
                else:
                    keys.append((row.position, task.key(fields)))
            if write:
                store.rekey(keys)
            await breathe()
    store.ask_otherwise(task.as_manifest())
