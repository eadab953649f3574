"""Whose request goes next and which shard comes next. Pure: numbers in, choices out.

Fairness is a virtual token counter per workspace and, inside it, per batch (VTC: Sheng et al.,
OSDI 2024): serve the smallest counter. Locality is a quantum: the chosen batch keeps the engine for
about `QUANTUM_TOKENS`, so neighbours that share a prefix arrive together. A newcomer starts level
with the least served and ends the quantum, which is why a small batch never waits behind a big one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

QUANTUM_TOKENS = 20_000.0
LATE_WEIGHT = 4.0
"""A batch about to miss its deadline is served this many times as much as its neighbours."""


@dataclass(slots=True)
class _Account:
    """What a batch, or the workspace that is its `home`, has had."""

    served: float = 0.0
    weight: float = 1.0
    home: _Account | None = None
    members: set[str] = field(default_factory=set)

    @property
    def level(self) -> float:
        return self.served / self.weight


class FairShare:
    """Who has had how much of one engine. Batches are known by id, workspaces likewise."""

    def __init__(self) -> None:
        self._workspaces: dict[str, _Account] = {}
        self._batches: dict[str, _Account] = {}
        self._home: dict[str, str] = {}
        self._current: str | None = None
        self._burst = 0.0

    def enter(self, batch: str, workspace: str) -> None:
        """A batch has work here: it starts a hair below the least served, so it is next in line."""
        if batch in self._batches:
            return
        self._home[batch] = workspace
        siblings = self._workspaces.get(workspace)
        if siblings is None:
            floor = min((a.level for a in self._workspaces.values()), default=0.0)
            siblings = self._workspaces[workspace] = _Account(served=floor - 1.0)
        floor = min((self._batches[b].level for b in siblings.members), default=0.0)
        siblings.members.add(batch)
        self._batches[batch] = _Account(served=floor - 1.0, home=siblings)
        self._current = None

    def leave(self, batch: str) -> None:
        """A batch has no work here any more."""
        if batch not in self._batches:
            return
        del self._batches[batch]
        workspace = self._home.pop(batch)
        account = self._workspaces[workspace]
        account.members.discard(batch)
        if not account.members:
            del self._workspaces[workspace]
        if self._current == batch:
            self._current = None

    def weigh(self, late: Collection[str]) -> None:
        """Give batches that run late their larger share, and take it back from the others."""
        for batch, account in self._batches.items():
            weight = LATE_WEIGHT if batch in late else 1.0
            if weight != account.weight:
                account.served *= weight / account.weight
                account.weight = weight

    def charge(self, batch: str, tokens: float) -> None:
        """Book tokens to a batch and its workspace: prompts when sent, answers when they came."""
        account = self._batches.get(batch)
        if account is None:
            return
        assert account.home is not None
        account.served += tokens
        account.home.served += tokens
        if batch == self._current:
            self._burst += tokens

    def pick(self, ready: Collection[str]) -> str | None:
        """The batch to serve next among those with something to send; None when there is none."""
        if self._current in ready and self._burst < QUANTUM_TOKENS:
            return self._current
        if not ready:
            return None
        homes = {self._home[batch] for batch in ready}
        home = min(homes, key=lambda w: (self._workspaces[w].level, w))
        mine = [batch for batch in ready if self._home[batch] == home]
        self._current = min(mine, key=lambda b: (self._batches[b].level, b))
        self._burst = 0.0
        return self._current


def running_late(
    batches: Iterable[tuple[str, float, int]], now: float, requests_per_second: float
) -> set[str]:
    """The batches that cannot all end in time at this rate: (id, deadline, requests left) each.

    The fluid test for earliest deadline first: if the work due by some deadline exceeds what can
    be done by then, everything due up to that deadline is late. A fifth of the rate is reserve.
    """
    if requests_per_second <= 0:
        return set()
    due: list[str] = []
    late = 0
    work = 0.0
    for batch, deadline, left in sorted(batches, key=lambda item: (item[1], item[0])):
        due.append(batch)
        work += left
        if now + work / (0.8 * requests_per_second) > deadline:
            late = len(due)
    return set(due[:late])


def next_shard(pending: Sequence[int], last: int | None, held: Collection[int]) -> int:
    """Which of the `pending` shard numbers (ascending, not empty) a worker should take.

    The one after its `last`, since they share prefixes; else the longest run nobody walks into, or
    the middle of the longest run, leaving its front to the worker that is coming (Theorem P3 of
    contiguous cuts: each cut costs at most one shared prefix).
    """
    if last is not None and last + 1 in pending:
        return last + 1
    runs = _runs(pending)
    free = [run for run in runs if run[0] - 1 not in held]
    if free:
        return max(free, key=len)[0]
    longest = max(runs, key=len)
    return longest[len(longest) // 2]


def _runs(numbers: Sequence[int]) -> list[list[int]]:
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] + 1 == number:
            runs[-1].append(number)
        else:
            runs.append([number])
    return runs
