"""The ledger itself: every lie it is there to catch is told to it once."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, cast

import pytest

from tests.crash.ledger import Kill, Ledger, check_lines, check_object, prompt
from tests.crash.repeats import Cost, check_costs, costs
from tests.live.harness.calls import Answer, Calls
from tests.upstreams.connection import Exchange

Object = dict[str, Any]


def batch(status: str = "in_progress", **counts: int) -> Object:
    settled = dict.fromkeys(("succeeded", "errored", "canceled", "expired"), 0) | counts
    ended = status == "ended"
    return {
        "id": "msgbatch_1",
        "processing_status": status,
        "request_counts": {"processing": 2 - sum(settled.values()), **settled},
        "created_at": "c",
        "expires_at": "e",
        "ended_at": "t" if ended else None,
        "cancel_initiated_at": "x" if status == "canceling" else None,
        "results_url": "http://h/results" if ended else None,
    }


def call(marker: str, started: float, ended: float | None, status: int | None = 200) -> Exchange:
    return Exchange(
        0, 1, "POST", "/v1/messages", {}, b"", started, marker, status=status, ended=ended
    )


def line(marker: str, text: str | None = None) -> Object:
    content = [{"type": "text", "text": prompt(marker) if text is None else text}]
    message = {"content": content, "model": "echo-1"}
    return {"custom_id": marker, "result": {"type": "succeeded", "message": message}}


def asked(tag: str = "t", count: int = 2) -> Ledger:
    ledger = Ledger()
    ledger.entries(tag, count)
    ledger.acknowledge(tag, batch())
    return ledger


def test_an_honest_history_passes() -> None:
    ledger = asked()
    promise = ledger.promised["t"]
    for seen in (batch(succeeded=1), batch("canceling", succeeded=1)):
        ledger.saw(promise, seen)
    ledger.kills.append(Kill("dispatch", 10.5, 10.6))
    ledger._calls_made([call("t-0", 1.0, 2.0), call("t-1", 10.0, 11.0), call("t-1", 12.0, 13.0)])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda b: b["request_counts"].update(processing=3),
        lambda b: b["request_counts"].update(processing=3, succeeded=-1),
        lambda b: b["request_counts"].update(processing=0, succeeded=2),
        lambda b: b.update(ended_at="t"),
        lambda b: b.update(results_url="u"),
        lambda b: b.update(processing_status="canceling"),
        lambda b: b.update(processing_status="ended"),
    ],
)
def test_an_object_that_contradicts_itself_is_caught(spoil: Callable[[Object], None]) -> None:
    spoiled = batch()
    spoil(spoiled)
    with pytest.raises(AssertionError):
        check_object(spoiled, 2)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (batch(succeeded=1), batch()),
        (batch(succeeded=1), batch(errored=1)),
        (batch("canceling"), batch()),
        (batch("ended", succeeded=2), batch("ended", succeeded=1, errored=1)),
        (batch("ended", succeeded=2), batch("canceling", succeeded=1)),
        (batch(), batch() | {"expires_at": "later"}),
        (batch("canceling"), batch("canceling") | {"cancel_initiated_at": "y"}),
    ],
)
def test_a_step_backwards_is_caught(before: Object, after: Object) -> None:
    ledger = asked()
    ledger.saw(ledger.promised["t"], copy.deepcopy(before))
    with pytest.raises(AssertionError):
        ledger.saw(ledger.promised["t"], after)


@pytest.mark.parametrize(
    "lines",
    [
        [line("t-0")],
        [line("t-0"), line("t-1"), line("t-1")],
        [line("t-0"), line("u-1")],
        [line("t-0"), line("t-1", prompt("t-0"))],
        [line("t-0"), line("t-1", prompt("t-1")[:-1])],
    ],
    ids=["lost", "doubled", "foreign", "swapped", "truncated"],
)
def test_a_wrong_set_of_lines_is_caught(lines: list[Object]) -> None:
    with pytest.raises(AssertionError):
        check_lines(lines, {"t-0", "t-1"}, "echo-1")


@pytest.mark.parametrize(
    "calls",
    [
        [call("t-0", 1.0, 2.0), call("t-0", 12.0, 13.0)],
        [call("t-0", 10.0, 10.1), call("t-0", 10.2, 10.3)],
        [call("t-0", 11.0, 15.0), call("t-0", 12.0, 13.0)],
        [call("t-7", 1.0, 2.0)],
    ],
    ids=["long after", "before the kill", "two at once", "never asked for"],
)
def test_a_repeat_without_a_death_is_caught(calls: list[Exchange]) -> None:
    ledger = asked()
    ledger.kills.append(Kill("dispatch", 10.5, 10.6))
    if calls[0].started == 10.0:
        ledger.kills = [Kill("dispatch", 20.0, 20.1)]
    with pytest.raises(AssertionError):
        ledger._calls_made(calls)


@pytest.mark.parametrize(("late", "excused"), [(0.05, True), (0.5, False)])
def test_an_orphan_noticed_just_after_the_kill_was_sent_before_it(
    late: float, excused: bool
) -> None:
    ledger = asked()
    ledger.kills.append(Kill("dispatch", 10.5, 10.6))
    orphan = call("t-0", 10.6 + late, 10.61 + late, status=None)
    orphan.gone = True
    with nullcontext() if excused else pytest.raises(AssertionError):
        ledger._calls_made([orphan, call("t-0", 12.0, 13.0)])
    with pytest.raises(AssertionError):
        ledger._calls_made([call("t-0", 10.65, 10.66), call("t-0", 12.0, 13.0)])


def test_a_call_after_the_end_or_long_after_a_cancel_is_caught() -> None:
    ledger = asked()
    ledger.promised["t"].ended_seen = 5.0
    with pytest.raises(AssertionError, match="after the end"):
        ledger._calls_made([call("t-0", 5.1, 5.2)])
    ledger = asked()
    ledger.promised["t"].cancel_acknowledged = 5.0
    with pytest.raises(AssertionError, match="after cancel"):
        ledger._calls_made([call("t-0", 7.5, 7.6)])


def test_a_thrown_away_answer_is_caught() -> None:
    ledger = asked()
    ledger.promised["t"].cancel_asked = 9.0
    with pytest.raises(AssertionError, match="was answered and is canceled"):
        ledger._kept_answers([call("t-0", 1.0, 2.0)], {"t": {"t-0": "canceled"}})
    ledger._kept_answers([call("t-0", 8.0, 8.5)], {"t": {"t-0": "canceled"}})


def test_more_repeats_than_a_kill_can_cost_are_caught() -> None:
    kill = Kill("dispatch", 10.5, 10.6)
    honest = [call("t-0", 10.4, None), call("t-0", 12.0, 13.0), call("t-1", 9.0, 10.1),
              call("t-1", 12.0, 13.0), call("t-2", 10.45, 10.5)]  # fmt: skip
    (cost,) = costs([kill], honest)
    assert cost == Cost(again=2, beyond=1, allowed=3)
    check_costs([cost])
    lavish = [call(f"t-{number}", at, at + 1) for number in range(3) for at in (2.0, 12.0)]
    with pytest.raises(AssertionError):
        check_costs(costs([kill], lavish))


class Answers:
    """A server that answers with what it is told to remember."""

    def __init__(self, *listed: str, found: bool) -> None:
        self._listed, self._found = listed, found

    def ask(self, _method: str, path: str) -> Answer:
        return Answer(200 if self._found and not path.endswith("results") else 404, {}, b"")

    def batches(self) -> list[Object]:
        return [{"id": name} for name in self._listed]


@pytest.mark.parametrize(
    "answers",
    [Answers(found=True), Answers("msgbatch_1", found=False)],
    ids=["found again", "listed still"],
)
def test_a_batch_that_outlives_its_delete_is_caught(answers: Answers) -> None:
    ledger = asked()
    promise = ledger.promised["t"]
    promise.deleted = True
    with pytest.raises(AssertionError):
        ledger._settle_delete(cast("Calls", answers), promise)
    ledger._settle_delete(cast("Calls", Answers(found=False)), promise)


@pytest.mark.parametrize("wanted", [True, False])
def test_only_a_delete_that_was_asked_for_explains_a_missing_batch(wanted: bool) -> None:
    ledger = asked()
    promise = ledger.promised["t"]
    promise.delete_asked = wanted
    ledger._settle_delete(cast("Calls", Answers(found=False)), promise)
    assert promise.deleted is wanted
