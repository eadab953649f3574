"""Whatever dies on the way, no row is asked twice and none is lost."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from batchyard.clock import SECOND
from batchyard.errors import (
    DiskFull,
    NoRun,
    RateLimited,
    RunChanged,
    ServiceUnavailable,
)
from batchyard.pipeline.run import Options, RunStore
from batchyard.pipeline.run.store.tables import Database
from tests.pipeline.run.conftest import Bench
from tests.pipeline.run.doubles import echo, lost, said

STEPS = 70
"""At least as many as a run of ten rows has."""


class Killed(BaseException):
    """The process is gone."""


@contextmanager
def killed_at(step: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], bool]]:
    """The process dies right after its `step`-th durable step; the value says whether it came."""
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1
        if steps == step:
            raise Killed

    transaction, sync = Database.transaction, os.fsync

    @contextmanager
    def counted(database: Database) -> Iterator[None]:
        with transaction(database):
            yield
        count()

    def synced(descriptor: int) -> None:
        sync(descriptor)
        count()

    with monkeypatch.context() as patch:
        patch.setattr(Database, "transaction", counted)
        patch.setattr(os, "fsync", synced)
        yield lambda: steps >= step


@pytest.mark.parametrize("step", range(1, STEPS + 1))
async def test_killed_after_any_durable_step_every_row_is_asked_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    bench.server.answer = lambda name, params: (
        said("bad") if params["text"] == "row 5" and "again" not in params else echo(name, params)
    )
    store = bench.store
    with killed_at(step, monkeypatch) as dead:
        try:
            await bench.finish()
        except Killed:
            assert dead()
    del store
    bench.die()
    outcomes = await bench.finish()
    assert [one.answer for one in outcomes] == [{"output": f"ROW {n}"} for n in range(10)]
    assert bench.server.asked == {n: 2 if n == 5 else 1 for n in range(10)}
    assert [one.attempts for one in outcomes] == [2 if n == 5 else 1 for n in range(10)]
    assert bench.store.totals.input_tokens == 33


async def test_the_steps_at_which_it_was_killed_are_all_there_are(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bench.store.run
    with killed_at(STEPS + 1, monkeypatch) as dead:
        await bench.finish()
    assert not dead()


@pytest.mark.parametrize("piece", range(0, 30, 3))
async def test_results_that_break_off_are_continued_after_a_kill(bench: Bench, piece: int) -> None:
    bench.server.fail("results piece", *[None] * piece, Killed())
    with pytest.raises(Killed):
        await bench.finish()
    bench.die()
    outcomes = await bench.finish()
    assert [one.answer for one in outcomes] == [{"output": f"ROW {n}"} for n in range(10)]
    assert set(bench.server.asked.values()) == {1}


@pytest.mark.parametrize("call", ["create", "create answered"])
@pytest.mark.parametrize("fault", [lost, lambda: ServiceUnavailable("down"), Killed])
async def test_a_lost_answer_makes_no_second_batch(
    bench: Bench, call: str, fault: Callable[[], BaseException]
) -> None:
    bench.server.fail(call, None, fault())
    try:
        await bench.finish()
    except Killed:
        bench.die()
    outcomes = await bench.finish()
    assert len(outcomes) == 10
    assert set(bench.server.asked.values()) == {1}
    assert len(bench.server.batches) == 3


async def test_the_same_body_is_sent_with_the_same_key_where_it_is_remembered(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path / "runs")
    bench.server.fail("create answered", lost(), lost())
    await bench.finish()
    assert bench.server.keys[0] == bench.server.keys[1] == bench.server.keys[2]
    assert str(bench.server.keys[0]).startswith(f"{bench.store.run}-1-")
    assert len(set(bench.server.keys)) == 3
    bench.die()


async def test_a_key_that_is_too_old_to_be_remembered_is_not_relied_on(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "runs")
    bench.server.fail("create answered", Killed())
    with pytest.raises(Killed):
        await bench.finish()
    bench.die()
    bench.clock.jump(24 * 3600)
    for held in bench.server.held():
        held.key = None
    await bench.finish()
    assert set(bench.server.asked.values()) == {1}
    bench.die()


def elsewhere(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "runs", ours=False)


@pytest.mark.parametrize("acted", [True, False])
async def test_a_batch_that_only_looks_like_ours_is_not_taken_for_it(
    tmp_path: Path, acted: bool
) -> None:
    bench = elsewhere(tmp_path)
    strangers = [{"custom_id": f"x-{n}", "params": {"text": "secret"}} for n in range(4)]
    bench.server.fail("create answered" if acted else "create", Killed())
    with pytest.raises(Killed):
        await bench.finish()
    bench.die()
    bench.server.put(strangers)
    bench.server.batches = dict(sorted(bench.server.batches.items(), reverse=True))
    bench.server.put(strangers)
    outcomes = await bench.finish()
    assert [one.answer for one in outcomes] == [{"output": f"ROW {n}"} for n in range(10)]
    assert set(bench.server.asked.values()) == {1}
    stored = (bench.store.path / "rows.db").read_bytes()
    assert b"secret" not in stored.lower()
    bench.die()


async def test_a_batch_of_another_size_or_of_yesterday_is_not_even_looked_at(
    tmp_path: Path,
) -> None:
    bench = elsewhere(tmp_path)
    four = [{"custom_id": f"x-{n}", "params": {"text": "?"}} for n in range(4)]
    bench.server.put(four).created_at -= 3600 * SECOND
    bench.server.put(four[:3])
    bench.server.fail("create", lost())
    await bench.finish()
    assert [one.looks for one in bench.server.held()[:2]] == [0, 0]
    bench.die()


async def test_a_batch_that_shows_up_late_in_the_list_is_not_sent_again(tmp_path: Path) -> None:
    bench = elsewhere(tmp_path)
    bench.server.fail("create answered", lost())
    bench.server.late = 1
    await bench.finish()
    assert set(bench.server.asked.values()) == {1}
    bench.die()


async def test_a_lookalike_without_any_results_is_not_ours(tmp_path: Path) -> None:
    bench = elsewhere(tmp_path)
    bench.server.fail("create", Killed())
    with pytest.raises(Killed):
        await bench.finish()
    bench.die()
    bench.server.put([{"custom_id": f"x-{n}", "params": {"text": "?"}} for n in range(4)])
    bench.server.mend = lambda lines: [line for line in lines if '"x-' not in line]
    outcomes = await bench.finish()
    assert {one.status for one in outcomes} == {"succeeded"}
    bench.die()


async def test_a_planned_batch_is_not_bound_to_the_server_it_was_planned_for(
    bench: Bench,
) -> None:
    bench.server.fail("create", RateLimited("busy", retry_after=1), Killed())
    with pytest.raises(Killed):
        await bench.finish()
    bench.store.refused(1)
    bench.die()
    outcomes = await bench.finish(place="http://other")
    assert {one.attempts for one in outcomes} == {1}
    assert {one.server for one in bench.store.batches()} == {"http://other"}


async def test_batches_at_another_server_are_not_forgotten(bench: Bench) -> None:
    bench.options = Options(batch_size=4, in_process_max=2)
    runner = bench.runner()
    await runner.prepare()
    await runner.submit()
    bench.die()
    elsewhere = bench.runner(place="http://other")
    with pytest.raises(RunChanged, match=r"2 batches of .* with 8 rows are at http://server"):
        await elsewhere.run()
    assert elsewhere.forsake() == 8
    await elsewhere.run()
    assert [one.attempts for one in bench.store.outcomes()] == [2] * 8 + [1] * 2


async def test_a_cancel_loses_nothing(bench: Bench) -> None:
    import asyncio

    bench.server.fail("create answered", None, asyncio.CancelledError())
    with pytest.raises(asyncio.CancelledError):
        await bench.finish()
    bench.die()
    await bench.finish()
    assert set(bench.server.asked.values()) == {1}


async def test_a_full_disk_stops_the_run_with_everything_in_place(
    bench: Bench,
) -> None:
    runner = bench.runner()
    await runner.prepare()
    await runner.submit()
    await runner.wait()
    bench.store._database.run("PRAGMA max_page_count = 1")
    for held in bench.server.held():
        held.lines = [line.replace("ROW", "ROW" * 9_000) for line in held.lines]
    with pytest.raises(DiskFull, match=r"rows.db: .*what was there before is safe"):
        await runner.collect()
    bench.die()
    assert len(await bench.finish()) == 10
    assert set(bench.server.asked.values()) == {1}


def test_one_process_at_a_time_works_on_a_run(bench: Bench) -> None:
    run = bench.store.run
    with pytest.raises(NoRun, match=rf"another process \({os.getpid()}\) works on {run}"):
        RunStore.open(bench.home)
    with RunStore.look(bench.home) as reader:
        assert reader.totals.rows == 0
    bench.die()
    RunStore.open(bench.home, run.lower().removeprefix("run_")).close()
