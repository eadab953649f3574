"""Ctrl-C once stops in good order; twice within two seconds is the end."""

from __future__ import annotations

import asyncio
import signal

import pytest

from batchyard.cli.runs.interrupts import Stops
from batchyard.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


async def signaled(stops: Stops, number: signal.Signals = signal.SIGINT) -> None:
    """Returns when the signal has been heard."""
    before = stops._last
    signal.raise_signal(number)
    while stops._last == before:
        await asyncio.sleep(0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_one_signal_asks_to_stop(clock: ManualClock, number: signal.Signals) -> None:
    stops, stopped = Stops(clock), asyncio.Event()
    stops.stop, stops.quit = stopped.set, lambda: pytest.fail("too early")
    with stops.heard():
        await signaled(stops, number)
    assert stopped.is_set()
    assert (stops.stopped, stops.quitted) == (True, False)


async def test_before_there_is_something_to_stop_the_work_is_canceled(clock: ManualClock) -> None:
    stops = Stops(clock)

    async def work() -> None:
        with stops.heard():
            await signaled(stops)
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.wait([task])
    assert task.cancelled()
    assert not stops.quitted


@pytest.mark.parametrize(("apart", "ends"), [(1.9, True), (2.1, False)])
async def test_two_signals_within_two_seconds_end_it(
    clock: ManualClock, apart: float, ends: bool
) -> None:
    stops, told = Stops(clock), []
    stops.stop, stops.quit = lambda: told.append("stop"), lambda: told.append("quit")

    async def work() -> None:
        with stops.heard():
            await signaled(stops)
            await clock.advance(apart)
            await signaled(stops)
            await asyncio.sleep(0)

    task = asyncio.create_task(work())
    await asyncio.wait([task])
    assert task.cancelled() is ends
    assert stops.quitted is ends
    assert told == (["stop", "quit"] if ends else ["stop"])
