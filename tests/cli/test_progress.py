"""Percent, rate, estimate and state, on a clock that the test holds."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.cli.progress import Progress, View
from batchyard.client import Snapshot
from batchyard.client.pace import ENOUGH_COMPLETIONS, ENOUGH_SECONDS, STALLED_SECONDS, percent
from batchyard.client.readiness import EngineState
from batchyard.wire import MessageBatch
from tests.client.stub import batch

UP = EngineState("a", "up", in_flight=2)
IDLE = EngineState("a", "up", in_flight=0)
AWAY = EngineState("b", "waiting", reason="connection refused")


def snapshot(
    moment: float,
    done: int,
    total: int = 1_000,
    *,
    status: str = "in_progress",
    errored: int = 0,
    engines: tuple[EngineState, ...] | None = (UP,),
    trouble: str = "",
) -> Snapshot:
    counts = {"processing": total - done, "succeeded": done - errored, "errored": errored}
    found = msgspec.convert(batch(status=status, **counts), MessageBatch)
    return Snapshot(found, moment, engines, trouble)


def last(snapshots: Iterable[Snapshot]) -> View:
    progress = Progress()
    views = [progress.see(one) for one in snapshots]
    return views[-1]


# -- percent --------------------------------------------------------------------------------------


@given(st.integers(1, 100_000), st.data())
def test_a_hundred_percent_means_that_results_can_be_fetched(
    total: int, data: st.DataObject
) -> None:
    done = data.draw(st.integers(0, total))
    shown = percent(done, total, ended=False)
    assert shown <= 99
    assert shown <= 100 * done / total
    assert percent(total, total, ended=True) == 100


@pytest.mark.parametrize(("done", "shown"), [(0, 0), (9, 0), (10, 1), (995, 99), (1_000, 99)])
def test_percentages_are_rounded_down(done: int, shown: int) -> None:
    assert last([snapshot(0, done)]).percent == shown


# -- rate and estimate ----------------------------------------------------------------------------


def steady(seconds: int, per_second: int, start: int = 0) -> list[Snapshot]:
    return [snapshot(t, start + per_second * t, 100_000) for t in range(seconds + 1)]


def test_a_steady_batch_is_estimated_exactly() -> None:
    view = last(steady(100, 10))
    assert view.rate == pytest.approx(10)
    assert view.eta is not None
    assert view.eta.seconds == pytest.approx(view.left / 10)
    assert view.eta.low < view.eta.seconds < view.eta.high


def test_what_was_done_before_is_no_speed() -> None:
    view = last(steady(100, 10, start=50_000))
    assert view.rate == pytest.approx(10)


def test_there_is_no_rate_before_anything_was_seen_to_happen() -> None:
    assert last([snapshot(0, 500)]).rate is None
    assert last([snapshot(0, 500), snapshot(5, 500)]).rate is None


@pytest.mark.parametrize(
    ("seconds", "completions", "known"),
    [
        (10, ENOUGH_COMPLETIONS - 1, False),
        (10, ENOUGH_COMPLETIONS, True),
        (ENOUGH_SECONDS - 1, 2, False),
        (ENOUGH_SECONDS, 2, True),
        (ENOUGH_SECONDS, 0, False),
    ],
)
def test_it_is_estimating_until_it_has_seen_enough(
    seconds: float, completions: int, known: bool
) -> None:
    view = last([snapshot(0, 0), snapshot(seconds, completions)])
    assert (view.eta is not None) == known


def test_the_range_narrows_with_what_was_seen_and_widens_when_speed_changes() -> None:
    def width(view: View) -> float:
        assert view.eta is not None
        return (view.eta.high - view.eta.low) / view.eta.seconds

    short, long = last(steady(10, 10)), last(steady(1_000, 10))
    assert width(long) < width(short)
    slower = [snapshot(1_000 + t, 10_000 + 2 * t, 100_000) for t in range(1, 30)]
    assert width(last([*steady(1_000, 10), *slower])) > 2 * width(long)


def test_five_minutes_ago_hardly_counts() -> None:
    fast = steady(300, 100)
    slow = [snapshot(300 + t, 30_000 + 10 * t, 100_000) for t in range(1, 1_200)]
    rate = last([*fast, *slow]).rate
    assert rate == pytest.approx(10, rel=0.3)


@given(
    st.lists(st.tuples(st.floats(0.1, 100), st.integers(0, 2_000)), min_size=1, max_size=30),
    st.integers(0, 1_000),
)
def test_an_estimate_lies_in_its_range(steps: list[tuple[float, int]], start: int) -> None:
    total = start + sum(done for _, done in steps) + 10
    progress, moment, done = Progress(), 0.0, start
    progress.see(snapshot(0, start, total))
    for seconds, more in steps:
        moment, done = moment + seconds, done + more
        view = progress.see(snapshot(moment, done, total))
        assert view.rate is None or view.rate >= 0
        if view.eta is not None:
            assert 0 <= view.eta.low <= view.eta.seconds <= view.eta.high < float("inf")


def test_a_clock_that_stands_still_is_no_division_by_zero() -> None:
    assert last([snapshot(5, 0), snapshot(5, 40)]).eta is None


# -- states ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("snapshots", "state", "reason"),
    [
        ([snapshot(0, 0, engines=(IDLE,))], "queued", ""),
        ([snapshot(0, 0, engines=(UP,))], "running", ""),
        ([snapshot(0, 5, engines=(IDLE,))], "running", ""),
        ([snapshot(0, 0, engines=None)], "running", ""),
        ([snapshot(0, 0, engines=(AWAY,))], "waiting for engine", "b: connection refused"),
        ([snapshot(0, 0, engines=())], "queued", ""),
        ([snapshot(0, 0, engines=(UP, AWAY))], "running", ""),
        (
            [snapshot(t, 5, engines=(UP, AWAY)) for t in (0, STALLED_SECONDS)],
            "waiting for engine",
            "b: connection refused",
        ),
        ([snapshot(t, int(t), engines=(UP, AWAY)) for t in (0, 9, 18)], "running", ""),
        ([snapshot(t, 5, engines=(UP,)) for t in (0, 100)], "running", ""),
        ([snapshot(0, 1_000)], "finalising", ""),
        ([snapshot(0, 5, status="canceling")], "canceling", ""),
        ([snapshot(0, 1_000, status="ended")], "ended", ""),
        ([snapshot(0, 5, trouble="nobody there")], "not answering", "nobody there"),
    ],
)
def test_the_state_says_what_is_going_on(
    snapshots: list[Snapshot], state: str, reason: str
) -> None:
    view = last(snapshots)
    assert (view.state, view.reason) == (state, reason)


def test_waiting_has_no_estimate() -> None:
    waiting = snapshot(101, 1_000, 100_000, engines=(AWAY,))
    assert last([*steady(100, 10), waiting]).eta is None


def test_failures_are_counted_by_kind() -> None:
    view = last([snapshot(0, 10, errored=4)])
    assert (view.succeeded, view.errored, view.failed, view.left) == (6, 4, 4, 990)
