"""Ctrl-C once stops in good order; twice within two seconds is the end."""

from __future__ import annotations

import asyncio
import signal

import pytest

from batchyard.cli.runs.interrupts import interrupts
from batchyard.clock import ManualClock


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_one_signal_asks_to_stop(number: signal.Signals) -> None:
    stopped, quits = asyncio.Event(), 0
    with interrupts(ManualClock(), stopped.set, lambda: pytest.fail("too early")):
        signal.raise_signal(number)
        await asyncio.wait_for(stopped.wait(), 5)
    assert quits == 0


@pytest.mark.parametrize(("apart", "ends"), [(1.9, True), (2.1, False)])
async def test_two_signals_within_two_seconds_end_it(apart: float, ends: bool) -> None:
    clock, told = ManualClock(), []
    calls: asyncio.Queue[str] = asyncio.Queue()

    async def work() -> None:
        with interrupts(clock, lambda: calls.put_nowait("stop"), lambda: told.append("quit")):
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    signal.raise_signal(signal.SIGINT)
    await asyncio.wait_for(calls.get(), 5)
    await clock.advance(apart)
    signal.raise_signal(signal.SIGINT)
    if ends:
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 5)
    else:
        await asyncio.wait_for(calls.get(), 5)
        task.cancel()
    assert told == (["quit"] if ends else [])
