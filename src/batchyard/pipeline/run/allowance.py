"""The allowance of a run under caps: its budget, kept by the numbers of its batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from batchyard.pipeline.estimate.budget import Budget, Reservation, Spent


class Capped:
    """Asks `budget` before each batch; `hours` is how long the run has taken, all sessions."""

    def __init__(self, budget: Budget, hours: Callable[[], float]) -> None:
        self._budget, self._hours = budget, hours
        self._held: dict[int, Reservation] = {}

    def fitting(self, sizes: Sequence[int]) -> int:
        """How many of the next rows fit under the caps."""
        return self._budget.affordable_rows(sizes, self._hours())

    def reserve(self, batch: int, rows: int, body_bytes: int) -> None:
        """Set aside what the batch can take; raises `CapReached`, having set nothing aside."""
        self._held[batch] = self._budget.reserve(rows, body_bytes, self._hours())

    def hold(self, batch: int, rows: int, body_bytes: int) -> None:
        """Set aside for a batch that was sent before, whether it fits or not."""
        self._held[batch] = self._budget.hold(rows, body_bytes)

    def settle(
        self, batch: int, *, rows: int, answers: int, input_tokens: int, output_tokens: int
    ) -> None:
        """The batch took this, and nothing more."""
        used = Spent(rows, answers, input_tokens, output_tokens)
        self._budget.settle(self._held.pop(batch), used)
