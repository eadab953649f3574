"""A server that is busy, away, or does not want us."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchyard.errors import AuthenticationFailed, RateLimited, ServerUnreachable
from tests.pipeline.run.conftest import Bench


async def test_a_busy_server_is_waited_for_as_long_as_it_says(bench: Bench) -> None:
    bench.server.fail("create", RateLimited("too many batches", retry_after=47))
    await bench.finish()
    waits = [one for one in bench.seen if one.state == "waiting for server"]
    assert waits
    assert waits[0].reason == "too many batches"
    assert bench.clock.monotonic() >= 47
    assert set(bench.server.asked.values()) == {1}


async def test_submit_alone_waits_for_a_busy_server(bench: Bench) -> None:
    bench.server.fail("create", None, RateLimited("too many batches", retry_after=47))
    runner = bench.runner()
    await runner.prepare()
    assert await runner.submit() == 3
    assert 47 in bench.clock.waits


async def test_a_batch_that_was_surely_refused_is_sent_without_a_look(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "runs", ours=False)
    bench.server.fail("create", RateLimited("busy", retry_after=1))
    bench.server.fail("list", AssertionError("looked"))
    await bench.finish()
    bench.die()


async def test_a_batch_that_the_server_will_not_have_leaves_its_rows_waiting(
    bench: Bench,
) -> None:
    bench.server.fail("create", AuthenticationFailed("no such key"))
    with pytest.raises(AuthenticationFailed):
        await bench.finish()
    assert (bench.store.totals.waiting, bench.store.totals.batched) == (10, 0)
    assert bench.store.batches() == []
    outcomes = await bench.finish()
    assert {one.attempts for one in outcomes} == {1}


@pytest.mark.parametrize("call", ["retrieve", "results", "results piece"])
async def test_a_server_that_is_gone_for_minutes_is_waited_for_and_that_is_said(
    bench: Bench, call: str
) -> None:
    bench.server.fail(call, None, *[ServerUnreachable("cannot reach it")] * 40)
    outcomes = await bench.finish()
    assert len(outcomes) == 10
    reasons = {one.reason for one in bench.seen if one.state == "waiting for server"}
    assert "cannot reach it; next try in 10 s" in reasons


async def test_a_server_that_stays_away_is_given_up_and_nothing_is_lost(bench: Bench) -> None:
    bench.server.fail("retrieve", None, *[ServerUnreachable("cannot reach it")] * 100)
    with pytest.raises(ServerUnreachable):
        await bench.finish()
    bench.die()
    bench.server.fail("retrieve")
    await bench.finish()
    assert set(bench.server.asked.values()) == {1}


async def test_a_server_that_was_never_there_is_told_at_once(bench: Bench) -> None:
    bench.server.fail("liveness", ServerUnreachable("cannot reach it"))
    with pytest.raises(ServerUnreachable):
        await bench.finish()
    assert bench.clock.waits == [0] * len(bench.clock.waits)


async def test_a_batch_the_server_forgot_fails_its_rows_as_lost(bench: Bench) -> None:
    runner = bench.runner()
    await runner.prepare()
    await runner.submit()
    del bench.server.batches["msgbatch_2"]
    await runner.run()
    lost_rows = list(bench.store.failed())
    assert [one.position for one in lost_rows] == [4, 5, 6, 7]
    assert {one.error_type for one in lost_rows} == {"lost"}
    assert "does not know msgbatch_2 any more" in str(lost_rows[0].error)
    assert runner.retry(["lost"]) == 4
    assert len(await bench.finish()) == 10
