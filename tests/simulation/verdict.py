"""Many seeds, one verdict: no history may be wrong, and every kind of trouble has to have happened.

`SEED=17 pytest tests/simulation` lives through one seed again and tells its story;
`SEEDS=100000 pytest tests/simulation` tries that many.
"""

from __future__ import annotations

import gc
import os
from collections import Counter

from tests.simulation.seeds import History, live_through

SEEDS = 2000
CHUNK = 250
"""Seeds of one test item: enough for all of `SOMETIMES` to happen."""

FAILURES_SHOWN = 3

SOMETIMES = (
    "kill -9",
    "death at a step",
    "death with calls in flight",
    "death while starting",
    "power loss",
    "power loss that forgot results",
    "answers lost by a death",
    "exit after a failed sync",
    "results waited for space",
    "catalog refused",
    "clean stop",
    "unanswered create found",
    "unanswered create left nothing",
    "create repeated",
    "cancel with calls in flight",
    "given to another engine",
    "results read",
    "delete",
    "batches archived",
    "batches deleted",
    "shards beyond the first",
    "calls answered",
    "calls failed",
    "calls cut",
    "calls asked again after a death",
    "requests succeeded",
    "requests errored",
    "requests canceled",
    "requests expired",
    "poison blamed",
)
"""A run in which one of these never happened would prove nothing about it."""


def chunks(part: int, parts: int) -> list[range]:
    """This part's share of the seeds, in pieces."""
    if "SEED" in os.environ:
        seed = int(os.environ["SEED"])
        return [range(seed, seed + 1)] if part == 0 else []
    count = int(os.environ.get("SEEDS", str(SEEDS)))
    pieces = [range(at, min(at + CHUNK, count)) for at in range(0, count, CHUNK)]
    return pieces[part::parts]


def judge(seeds: range) -> None:
    """Live through them all; an AssertionError names the seeds that went wrong, and how."""
    failed: list[History] = []
    happened: Counter[str] = Counter()
    gc.collect()
    gc.freeze()  # what the test suite holds by now need not be looked at in every seed
    try:
        for seed in seeds:
            history = live_through(seed)
            happened += history.happened
            if history.wrong:
                failed.append(history)
    finally:
        gc.unfreeze()
    assert not failed, "\n".join(
        [
            f"{len(failed)} of {len(seeds)} seeds went wrong: {[h.seed for h in failed]}",
            *(_told(history, alone=len(seeds) == 1) for history in failed[:FAILURES_SHOWN]),
        ]
    )
    if len(seeds) >= CHUNK:
        never = [what for what in SOMETIMES if not happened[what]]
        assert not never, f"in all of seeds {seeds.start}…{seeds.stop - 1} there was no {never}"


def _told(history: History, *, alone: bool) -> str:
    story = history.story if alone else []
    again = f"seed {history.seed} (again: SEED={history.seed} python -m pytest tests/simulation)"
    return "\n".join([again, *history.wrong[:10], *story])
