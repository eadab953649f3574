"""Figures of a run: what was done to the program, and what it lost by it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields

from tests.crash.ledger import Ledger
from tests.crash.repeats import check_costs, costs
from tests.upstreams.connection import Exchange

PROPERTY = "figures"
"""Under this name a test's figures travel with its report, also from worker to worker."""

FILE_VARIABLE = "TORTURE_FIGURES"
"""Names a file to which a run appends its sums, one JSON object a line."""


def _most() -> int:
    return field(default=0, metadata={"most": True})  # type: ignore[no-any-return]


@dataclass
class Figures:
    """Counted by each test for itself, summed over a run. Whatever is counted here was audited: one
    request lost, doubled or repeated without excuse fails its test."""

    kills: int = 0
    starts_killed: int = 0
    crash_points: int = 0
    power_cuts: int = 0
    disk_faults: int = 0
    batches: int = 0
    requests: int = 0
    repeats: int = 0
    repeats_per_kill: int = _most()
    repeats_beyond_window: int = 0

    def audited(self, ledger: Ledger, exchanges: Sequence[Exchange]) -> None:
        """Count what was audited, and hold each kill to what it may cost."""
        found = costs(ledger.kills, exchanges)
        check_costs(found)
        promised = ledger.acknowledged()
        self.kills += len(ledger.kills)
        self.batches += len(promised)
        self.requests += sum(promise.count for promise in promised)
        self.repeats += ledger.repeats(exchanges)
        self.repeats_per_kill = max([self.repeats_per_kill, *(cost.again for cost in found)])
        self.repeats_beyond_window += sum(cost.beyond for cost in found)

    def add(self, other: Mapping[str, int]) -> None:
        """Sum up; of what is a maximum keep the larger."""
        for each in fields(self):
            mine, theirs = getattr(self, each.name), other.get(each.name, 0)
            most = each.metadata.get("most")
            setattr(self, each.name, max(mine, theirs) if most else mine + theirs)


ROWS = {
    "kills": "processes killed at random or chosen moments",
    "starts_killed": "kills while the program was starting",
    "crash_points": "crash points: deaths at the N-th file operation",
    "power_cuts": "power cuts: everything that was not synced is gone",
    "disk_faults": "disks full, failing at a sync, or limited",
    "batches": "batches audited to their last line",
    "requests": "requests audited",
    "repeats": "requests asked again, each excused by a death",
    "repeats_per_kill": "… of these after one kill, at the most",
    "repeats_beyond_window": "… answered more than 0.25 s before the death",
}


def total(all_of_them: Iterable[Mapping[str, int]]) -> Figures:
    """The sum over many tests."""
    figures = Figures()
    for one in all_of_them:
        figures.add(one)
    return figures


def table(figures: Figures, *, failed: int) -> list[str]:
    """The figures as lines of Markdown. `failed` tests have found something lost or worse: what is
    lost, doubled or repeated without excuse is 0 exactly when none has."""
    counted = asdict(figures)
    verdict = "0" if not failed else f"not known: {failed} tests failed"
    rows = [(words, f"{counted[name]:,}") for name, words in ROWS.items()]
    rows += [(what, verdict) for what in ("lost", "doubled", "repeated without excuse")]
    width = max(len(words) for words, _ in rows)
    return [f"| {words:<{width}} | {count} |" for words, count in rows]
