"""A run that goes on: resumed where it stopped, or its failed rows asked once more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from batchyard.cli.runs import stored
from batchyard.cli.runs.begun import begun
from batchyard.cli.runs.going import carried_out, concluded
from batchyard.cli.runs.interrupts import Stops
from batchyard.cli.runs.options.asked import Continued
from batchyard.cli.runs.place import place
from batchyard.cli.runs.said.telling import Telling
from batchyard.errors import NoRun

if TYPE_CHECKING:
    from batchyard.pipeline.run import RunStore


def resume(asked: Continued) -> int:
    """`batchyard resume`; returns the exit code."""
    with stored.continued(asked) as store:
        return concluded(store, lambda stops: _go(asked, store, stops))


def retry(asked: Continued, only: Sequence[str], max_tokens: int | None) -> int:
    """`batchyard retry`; returns the exit code."""
    with stored.continued(asked) as store:
        there = store.kinds()
        if unknown := [kind for kind in only if kind not in there]:
            listed = ", ".join(f"{kind} ({many:,})" for kind, many in there.items())
            raise NoRun(
                f"no row of {store.run} failed with {unknown[0]!r}; nothing was sent",
                fix=f"its failures: {listed}" if listed else "it has no failed rows",
            )
        return concluded(
            store, lambda stops: _go(asked, store, stops, list(only or there), max_tokens)
        )


async def _go(
    asked: Continued,
    store: RunStore,
    stops: Stops,
    kinds: list[str] | None = None,
    max_tokens: int | None = None,
) -> int:
    """Ask what is left, and the rows that failed with one of `kinds`, None for none of them."""
    from batchyard.pipeline.labelled import Labelling
    from batchyard.pipeline.prompt import task_from

    telling = Telling(as_json=asked.as_json)
    source, task = stored.source_of(store), task_from(store.manifest.task)
    labelling = Labelling(
        source.columns or ("custom_id",), task.answer_columns, store.manifest.output.prefix
    )
    if max_tokens is not None:
        task = task.changed(max_tokens=max_tokens)
    async with place(stored.place_of(store), store.path, stops) as at:
        work = begun(store, source, task, labelling, at)
        await work.prepare(retry=kinds, only_missing=max_tokens is not None)
        changed = max_tokens is not None
        telling.resumed(store.run, await work.standing(), changed=changed)
        return await carried_out(work, telling, mode=asked.mode, fail_on=asked.fail_on)
