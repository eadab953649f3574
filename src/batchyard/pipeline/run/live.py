"""Answers of live calls, kept like those of batches: what was paid for is not asked again."""

from __future__ import annotations

import msgspec

from batchyard.pipeline.row import Outcome
from batchyard.pipeline.run.collecting.lines import Verdict, decoded
from batchyard.pipeline.run.contract import TaskLike
from batchyard.pipeline.run.store import RunStore, Settled


class LiveAnswers:
    """Judges the answers of a sample, and keeps them in the run's store.

    One that does not fit is kept as a row to be asked again, up to `repair` times, as it would be
    in a batch; its outcome says so.
    """

    def __init__(self, store: RunStore, task: TaskLike, repair: int) -> None:
        self._store = store
        self._verdict = Verdict(task, repair, stale=False)
        self._settled: dict[int, Settled] = {}

    def judge(self, position: int, result: bytes) -> Outcome:
        """What the JSON of a `result` makes of the row at `position`."""
        line = decoded(b'{"custom_id":"live","result":%s}' % result)
        assert line is not None, "results of live calls are made by ourselves"
        settled = self._verdict.settled(line, position, 0)
        self._settled[position] = settled
        return Outcome(
            position,
            "succeeded" if settled.status == "succeeded" else "errored",
            None if settled.answer is None else msgspec.json.decode(settled.answer),
            settled.raw,
            settled.error_type,
            settled.error,
            settled.stop_reason,
            settled.input_tokens,
            settled.output_tokens,
            settled.model,
        )

    def keep(self, outcome: Outcome) -> None:
        """Write it down; durable on return."""
        self._store.answered(self._settled.pop(outcome.position))
