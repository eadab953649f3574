"""What a death costs: the requests that are asked again because of it, counted kill by kill."""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.crash.ledger import COMMIT_WINDOW_SECONDS, Kill, began
from tests.upstreams.connection import Exchange

TARGET_WINDOW_SECONDS = 0.25
"""Longest time an answer may wait for its commit on a machine that is not overloaded."""


@dataclass(frozen=True)
class Cost:
    """Of one kill: requests asked again, those among them whose answer was older than the target
    window, and how many could at most be: in flight, or answered less than a window before."""

    again: int
    beyond: int
    allowed: int


def costs(kills: Sequence[Kill], exchanges: Iterable[Exchange]) -> list[Cost]:
    """The cost of each kill, in order. A repeat is put down to the first kill that ended after its
    earlier call began, whether that excuses it or not."""
    made: dict[str, list[Exchange]] = defaultdict(list)
    for exchange in exchanges:
        made[exchange.marker].append(exchange)
    repeated = [earlier for calls in made.values() for earlier, _ in itertools.pairwise(calls)]
    again: dict[Kill | None, list[Exchange]] = defaultdict(list)
    for call in repeated:
        again[next((kill for kill in kills if began(call) <= kill.over), None)].append(call)
    every = [call for calls in made.values() for call in calls]
    started = sorted(map(began, every))
    over = sorted(map(_until, every))
    return [
        Cost(
            len(again[kill]),
            sum(_until(call) + TARGET_WINDOW_SECONDS < kill.started for call in again[kill]),
            bisect_right(started, kill.over)
            - bisect_left(over, kill.started - COMMIT_WINDOW_SECONDS),
        )
        for kill in kills
    ]


def check_costs(costs: Iterable[Cost]) -> None:
    """No kill repeats more than was in flight and in one commit window (I-13)."""
    for cost in costs:
        assert cost.again <= cost.allowed, cost


def _until(call: Exchange) -> float:
    """When it was over, answered or not."""
    return float("inf") if call.ended is None else call.ended
