"""A run from its rows to their outcomes: order, batches, progress, repair, retry."""

from __future__ import annotations

from typing import Any

import pytest

from batchyard.client.readiness import EngineState
from batchyard.errors import BadInput, RunChanged
from batchyard.pipeline.run import Options
from tests.pipeline.run.conftest import Bench
from tests.pipeline.run.doubles import Ask, echo, failed, said


async def test_every_row_is_asked_once_and_its_answer_comes_in_the_inputs_order(
    bench: Bench,
) -> None:
    outcomes = await bench.finish()
    assert [one.position for one in outcomes] == list(range(10))
    assert [one.answer for one in outcomes] == [{"output": f"ROW {n}"} for n in range(10)]
    assert {one.attempts for one in outcomes} == {1}
    assert [len(held.requests) for held in bench.server.held()] == [4, 4, 2]
    assert (bench.store.totals.input_tokens, bench.store.totals.output_tokens) == (30, 20)


async def test_nothing_is_left_on_disk_but_the_manifest_and_the_rows(bench: Bench) -> None:
    await bench.finish()
    left = {path.name for path in bench.store.path.rglob("*") if path.is_file()}
    kept = {".gitignore", "manifest.json", "rows.db", "lock"}
    assert left - {"rows.db-wal", "rows.db-shm"} == kept


async def test_no_more_batches_are_in_process_than_allowed(bench: Bench) -> None:
    bench.options = Options(batch_size=1, in_process_max=3)
    await bench.finish()
    assert bench.server.most_at_once == 3


async def test_a_batch_holds_no_more_bytes_than_allowed(bench: Bench) -> None:
    bench.options = Options(batch_size=100, body_bytes=200)
    outcomes = await bench.finish()
    assert len(outcomes) == 10
    assert [len(held.requests) for held in bench.server.held()] == [2, 2, 2, 2, 2]


async def test_a_row_larger_than_a_batch_makes_one_alone(bench: Bench) -> None:
    bench.options = Options(batch_size=100, body_bytes=10)
    await bench.finish()
    assert {len(held.requests) for held in bench.server.held()} == {1}


async def test_each_step_can_be_taken_alone(bench: Bench) -> None:
    runner = bench.runner()
    assert await runner.prepare() == 10
    bench.options = Options(batch_size=4)
    assert await runner.submit() == 3
    await runner.wait()
    collected = await runner.collect()
    assert (collected.rows, collected.again, collected.unknown) == (10, 0, ())
    assert list(runner.failed()) == []


async def test_a_row_that_cannot_be_asked_is_told_before_anything_is_sent(bench: Bench) -> None:
    bench.source.texts[7] = None  # type: ignore[call-overload]
    bench.source.fingerprint = lambda: "sha256:x"  # type: ignore[method-assign]
    with pytest.raises(BadInput, match="row 8"):
        await bench.finish()
    assert bench.server.batches == {}
    path = bench.store.path
    bench.store.discard()
    assert not path.exists()


async def test_an_answer_that_does_not_fit_is_asked_for_again_with_the_reason(
    bench: Bench,
) -> None:
    asked: list[dict[str, Any]] = []

    def answer(custom_id: str, params: dict[str, Any]) -> dict[str, Any]:
        if params["text"] == "row 3" and "again" not in params:
            return said("bad luck")
        asked.append(params)
        return echo(custom_id, params)

    bench.server.answer = answer
    outcomes = await bench.finish()
    assert outcomes[3].answer == {"output": "ROW 3"}
    assert (outcomes[3].attempts, outcomes[3].input_tokens) == (2, 6)
    assert [one["again"] for one in asked if "again" in one] == [["bad luck", "it is bad"]]
    assert [one.attempts for one in outcomes if one.position != 3] == [1] * 9


@pytest.mark.parametrize("repair", [0, 1, 3])
async def test_an_answer_that_never_fits_is_a_failed_row_with_its_text(
    bench: Bench, repair: int
) -> None:
    bench.options = Options(batch_size=4, repair=repair)
    bench.server.answer = lambda name, params: (
        said("bad again") if params["text"] == "row 3" else echo(name, params)
    )
    outcomes = await bench.finish()
    row = outcomes[3]
    assert (row.status, row.error_type, row.error) == ("errored", "schema", "it is bad")
    assert (row.raw, row.answer, row.attempts) == ("bad again", None, repair + 1)
    assert bench.store.kinds() == {"schema": 1}


async def test_a_row_that_is_retried_begins_afresh(bench: Bench) -> None:
    asked: list[dict[str, Any]] = []

    def answer(_: str, params: dict[str, Any]) -> dict[str, Any]:
        if params["text"] == "row 3":
            asked.append(params)
        return said("bad" if params["text"] == "row 3" else "fine")

    bench.server.answer = answer
    await bench.finish()
    assert bench.runner().retry(["schema"]) == 1
    await bench.finish()
    assert ["again" in one for one in asked] == [False, True, False, True]
    assert [one.attempts for one in bench.store.failed()] == [4]


async def test_failed_rows_are_told_by_kind_and_only_they_are_asked_again(bench: Bench) -> None:
    ill = {
        "row 1": failed("invalid_request_error", "prompt is too long: 9 tokens > 8 maximum"),
        "row 2": failed("overloaded_error", "Overloaded"),
        "row 3": {"type": "expired"},
        "row 4": {"type": "canceled"},
    }
    bench.server.answer = lambda name, params: ill.get(params["text"]) or echo(name, params)
    await bench.finish()
    assert bench.store.kinds() == {"canceled": 1, "expired": 1, "overloaded": 1, "too_long": 1}
    assert [one.position for one in bench.store.failed(["expired", "too_long"])] == [1, 3]
    assert (bench.store.totals.succeeded, bench.store.totals.failed) == (6, 4)

    bench.server.answer = echo
    assert bench.runner().retry(["overloaded"]) == 1
    assert bench.runner().retry() == 3
    outcomes = await bench.finish()
    assert {one.status for one in outcomes} == {"succeeded"}
    assert [one.attempts for one in outcomes] == [1, 2, 2, 2, 2, 1, 1, 1, 1, 1]
    assert [one.error for one in outcomes] == [None] * 10


async def test_a_changed_prompt_is_shown_and_nothing_is_sent(bench: Bench) -> None:
    await bench.runner().prepare()
    bench.task = Ask("Shout")
    with pytest.raises(RunChanged, match=r"(?s)- Say.*\+ Shout.*nothing more was sent") as told:
        await bench.finish()
    assert "--only-missing" in str(told.value.fix)
    assert bench.server.batches == {}


async def test_a_changed_input_is_told_and_nothing_is_sent(bench: Bench) -> None:
    await bench.runner().prepare()
    bench.source.texts[0] += "!"
    with pytest.raises(RunChanged, match="rows has changed since run_"):
        await bench.finish()
    assert bench.server.batches == {}


async def test_an_input_that_changes_while_rows_are_sent_stops_the_next_batch(
    bench: Bench,
) -> None:
    runner = bench.runner()
    await runner.prepare()
    bench.source.texts.insert(0, "a new row")
    with pytest.raises(RunChanged):
        await runner.submit()
    assert bench.server.batches == {}


async def test_only_missing_keeps_answers_and_asks_the_others_the_new_way(bench: Bench) -> None:
    bench.server.answer = lambda name, params: (
        failed("api_error", "?") if params["text"] in ("row 3", "row 5") else echo(name, params)
    )
    before = await bench.finish()
    bench.die()
    bench.server.answer = lambda _, params: said(f"{params['prompt']} {params['text']}")
    bench.task = Ask("Shout")
    runner = bench.runner()
    assert await runner.prepare(only_missing=True) == 2
    await runner.run()
    after = list(bench.store.outcomes())
    assert [one.position for one in after if one.attempts == 2] == [3, 5]
    assert after[3].answer == {"output": "Shout row 3"}
    assert after[0] == before[0]
    bench.die()
    assert await bench.finish() == after


async def test_a_run_whose_rows_were_not_all_read_can_be_asked_otherwise_too(
    bench: Bench,
) -> None:
    params_of = Ask.params_of

    class Broken(Ask):
        def params_of(self, fields: Any, *, position: int) -> bytes:
            if position == 7:
                raise BadInput("row 8 cannot be asked")
            return params_of(self, fields, position=position)

    bench.task = Broken()
    with pytest.raises(BadInput):
        await bench.finish()
    assert bench.store.totals.prepared == 0
    bench.task = Ask("Shout")
    assert await bench.runner().prepare(only_missing=True) == 10
    assert len(await bench.finish()) == 10


async def test_only_missing_of_one_kind_leaves_other_failures_alone(bench: Bench) -> None:
    bench.server.answer = lambda name, params: (
        {
            "row 3": failed("api_error", "?"),
            "row 5": {"type": "expired"},
        }.get(params["text"])
        or echo(name, params)
    )
    await bench.finish()
    bench.task = Ask("Shout")
    assert await bench.runner().prepare(only_missing=True, kinds=["expired"]) == 1
    assert bench.store.kinds() == {"api": 1}


async def test_an_old_answer_that_does_not_fit_the_new_task_is_asked_for_afresh(
    bench: Bench,
) -> None:
    bench.server.answer = lambda _, params: said(
        "bad" if params["prompt"] == "Say" else params["text"]
    )
    runner = bench.runner()
    await runner.prepare()
    await runner.submit()
    bench.die()
    bench.task = Ask("Shout")
    runner = bench.runner(options=Options(batch_size=4, repair=0))
    await runner.prepare(only_missing=True)
    await runner.run()
    outcomes = list(bench.store.outcomes())
    assert [one.answer for one in outcomes] == [{"output": f"row {n}"} for n in range(10)]
    assert {one.attempts for one in outcomes} == {2}


async def test_rows_of_an_earlier_session_count_as_done_from_the_first_frame(
    bench: Bench,
) -> None:
    bench.options = Options(batch_size=4, in_process_max=1)
    runner = bench.runner()
    await runner.prepare()
    await runner.submit()
    await runner.wait()
    await runner.collect()
    bench.die()
    bench.seen.clear()
    await bench.finish()
    assert (bench.seen[0].succeeded, bench.seen[0].total, bench.seen[0].rate) == (4, 10, None)
    assert [one.succeeded for one in bench.seen] == sorted(one.succeeded for one in bench.seen)
    last = bench.seen[-1]
    assert (last.state, last.succeeded, last.left, last.percent) == ("done", 10, 0, 100)
    assert all(one.percent < 100 for one in bench.seen[:-1])


async def test_an_engine_that_is_down_is_the_reason_why_nothing_moves(bench: Bench) -> None:
    bench.server.engines = [EngineState("vllm", "down", reason="connection refused")]
    bench.server.looks_to_end = 30
    await bench.finish()
    reasons = {(one.state, one.reason) for one in bench.seen}
    waits = ("waiting for engine", "vllm: connection refused")
    assert (waits in reasons) is bench.server.ours


async def test_answers_are_finalised_while_a_batch_has_not_ended(bench: Bench) -> None:
    bench.server.looks_to_end = 3
    shown = bench.server._shown

    def early(held: Any) -> Any:
        found = shown(held)
        if found.processing_status == "ended":
            return found
        import msgspec

        done = msgspec.structs.replace(
            found.request_counts, processing=0, succeeded=len(held.requests)
        )
        return msgspec.structs.replace(found, request_counts=done)

    bench.server._shown = early  # type: ignore[method-assign]
    await bench.finish()
    states = [one.state for one in bench.seen]
    assert "finalising" in states
    assert max(one.succeeded for one in bench.seen) == 10
