"""What a sample says about a whole run, and how that reads."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from batchyard.client.readiness import EngineState, Readiness
from batchyard.pipeline.estimate.estimate import (
    Estimate,
    compared,
    from_sample,
    without_sample,
)
from batchyard.pipeline.estimate.figure import Figure
from batchyard.pipeline.estimate.ground import Ground, ground
from batchyard.pipeline.estimate.prices.prices import Prices
from batchyard.pipeline.estimate.sample import Sample
from batchyard.pipeline.estimate.shown import dollars, duration, many, percent, small
from batchyard.pipeline.estimate.text import as_json, lines
from batchyard.pipeline.row import Outcome

LISTED = Prices({})
LOCAL = Ground(own=True, at_once=5, engines=1)
SOLD = Ground()

USED = [(150, 40), (120, 30), (160, 44), (170, 50), (125, 36)]  # 145 in and 40 out on average
OUTCOMES = tuple(
    Outcome(n, "succeeded", input_tokens=taken, output_tokens=given, model="qwen3:8b")
    for n, (taken, given) in enumerate(USED)
)
SAMPLE = Sample(5, OUTCOMES, (0.6, 0.61, 0.62, 0.58, 0.6), 0.617)

COUNTED = Figure(145, "counted by the server", error=0.2)
ROUGH = Figure(145, "from text length, no sample", "rough")
BOUND = Figure(1024, "max_tokens, no sample", "at most")


def estimate(
    sample: Sample = SAMPLE,
    *,
    ground: Ground = LOCAL,
    prices: Prices = LISTED,
    model: str = "qwen3:8b",
) -> Estimate:
    found = from_sample(sample, 20_000, model, ground=ground, prices=prices)
    assert found is not None
    return found


# -- on one's own machine -------------------------------------------------------------------------


def test_the_estimate_reads_as_the_first_five_minutes_promise() -> None:
    found = compared(estimate(), ["claude-haiku-4-5"], LISTED)
    # 20,000 x 145 = 2.9 M in and 20,000 x 40 = 0.8 M out. Five rows in 0.617 s are 8.1 a second,
    # 20,000 rows 41 minutes, 0.69 hours. Haiku as a batch: 2.9 x 0.50 + 0.8 x 2.50 = 3.45.
    assert lines(found, 120) == [
        "estimate      from the 5-row sample (±24 %)",
        "  tokens      2.9 M in · 0.8 M out",
        "  time        41 min at 8.1 rows/s on this engine",
        "  cost        0.69 GPU-hours   ·   $0 API     (same job on claude-haiku-4-5 batch: $3.45)",
    ]


def test_what_does_not_fit_goes_on_below_and_nothing_is_cut_in_two() -> None:
    busy = estimate(ground=replace(LOCAL, at_once=8))
    found = lines(compared(busy, ["claude-haiku-4-5"], LISTED), 80)
    assert max(len(line) for line in found) <= 80
    assert found[3] == "              measured 5 at a time, it may take 8"
    assert found[-1] == "              (same job on claude-haiku-4-5 batch: $3.45)"


@pytest.mark.parametrize("at_once", [None, 1, 5])
def test_a_server_that_takes_no_more_at_a_time_than_the_sample_has_one_rate(
    at_once: int | None,
) -> None:
    found = lines(estimate(ground=replace(LOCAL, at_once=at_once)), 80)
    assert "  time        41 min at 8.1 rows/s on this engine" in found
    assert "  cost        0.69 GPU-hours   ·   $0 API" in found


def test_a_server_with_more_slots_may_be_faster_but_is_not_said_to_be() -> None:
    found = estimate(ground=Ground(own=True, at_once=60, engines=3))
    assert found.pace is not None
    assert found.pace.best == pytest.approx(100)  # 60 slots of 0.6 s each
    assert found.seconds == (pytest.approx(200), pytest.approx(2468))
    assert any("3-41 min at 8.1-100 rows/s on these 3 engines" in line for line in lines(found, 80))


def test_a_machine_with_a_price_costs_its_hours() -> None:
    prices = Prices({"qwen3:8b": {"gpu_hour": 2, "gpus": 4}})
    found = estimate(prices=prices)
    assert lines(found, 80)[-1] == "  cost        $5.48 for 2.7 GPU-hours"  # 0.6856 h x 4 x $2
    assert found.cost() == pytest.approx(Decimal("5.48"), abs=Decimal("0.01"))


def test_a_run_of_seconds_is_not_told_in_ten_thousandths_of_an_hour() -> None:
    few = from_sample(SAMPLE, 100, "qwen3:8b", ground=LOCAL, prices=LISTED)
    assert few is not None
    assert lines(few, 80)[-1] == "  cost        less than 0.01 GPU-hours   ·   $0 API"


# -- where tokens are sold ------------------------------------------------------------------------


def test_a_seller_is_paid_by_the_token_and_tells_no_time() -> None:
    found = estimate(ground=SOLD, model="claude-haiku-4-5")
    assert lines(found, 80)[2:] == [
        "  time        up to 24 h: batches of this server wait for their turn",
        "  cost        $3.45 API ($6.90 as single calls)",
    ]
    assert (found.cost(batch=True), found.cost(batch=False)) == (Decimal("3.45"), Decimal("6.9"))


def test_the_model_that_answered_is_the_one_that_is_paid() -> None:
    opus = tuple(replace(one, model="claude-opus-4-5-20251101") for one in OUTCOMES)
    found = estimate(replace(SAMPLE, outcomes=opus), ground=SOLD, model="claude-haiku-4-5")
    assert found.cost() == Decimal("17.25")  # 2.9 x 2.50 + 0.8 x 12.50


def test_a_model_without_a_price_has_no_cost_and_the_estimate_says_so() -> None:
    found = estimate(ground=SOLD)
    assert lines(found, 80)[-1] == "  cost        not known: no price for qwen3:8b"
    assert found.cost() is None


def test_a_model_without_a_batch_rate_says_so() -> None:
    found = lines(estimate(ground=SOLD, model="gpt-oss-20b"), 80)
    assert found[-1].endswith(" API (no batch rate is known)")


def test_a_price_of_ones_own_without_a_discount_is_one_figure() -> None:
    prices = Prices({"qwen3:8b": {"input_per_mtok": 1, "output_per_mtok": 2}})
    assert lines(estimate(ground=SOLD, prices=prices), 80)[-1] == "  cost        $4.50 API"


# -- without a sample -----------------------------------------------------------------------------


def without(figure: Figure, ground: Ground, trouble: str | None = None) -> list[str]:
    found = without_sample(
        20_000, "claude-haiku-4-5", (figure, BOUND), ground=ground, prices=LISTED, trouble=trouble
    )
    return lines(found, 80)


def test_counted_prompts_are_told_from_answers_nobody_has_seen() -> None:
    assert without(COUNTED, SOLD) == [
        "estimate      prompts counted by the server, answers not known before a sample",
        "  tokens      2.9 M in · at most 20.5 M out",
        "  time        up to 24 h: batches of this server wait for their turn",
        "  cost        at most $52.65 API ($105.30 as single calls)",
    ]


def test_a_guess_is_called_rough_and_why_there_is_no_sample_is_said() -> None:
    assert without(ROUGH, LOCAL, "the server has no live calls: Nothing here.") == [
        "estimate      from text length, no sample (rough)",
        "  no sample   the server has no live calls: Nothing here.",
        "  tokens      about 2.9 M in · at most 20.5 M out",
        "  time        not known without a sample",
        "  cost        $0 API",
    ]


def test_a_sample_that_nobody_answered_is_none() -> None:
    refused = Outcome(0, "errored", error_type="invalid_request")
    sample = Sample(1, (refused,), (), 0.1)
    assert from_sample(sample, 9, "m", ground=LOCAL, prices=LISTED) is None


def test_one_answered_row_does_not_pretend_to_a_range() -> None:
    found = lines(estimate(Sample(1, OUTCOMES[:1], (0.6,), 0.6)), 80)
    assert found[0] == "estimate      from the 1-row sample (how far off is not known)"


# -- comparison and JSON --------------------------------------------------------------------------


def test_models_are_compared_in_a_table() -> None:
    found = compared(estimate(), ["claude-haiku-4-5", "gpt-oss-20b", "nobody"], LISTED)
    assert lines(found, 80)[-5:] == [
        "compare       20 000 rows of 145 in and 40 out",
        "  model              standard   batch",
        "  claude-haiku-4-5      $6.90   $3.45",
        "  gpt-oss-20b           $0.20       -",
        "  nobody                    -       -",
    ]


def test_the_same_figures_come_as_plain_values() -> None:
    found = compared(estimate(ground=SOLD, model="claude-haiku-4-5"), ["gpt-5", "x"], LISTED)
    value: Any = json.loads(json.dumps(as_json(found)))
    assert (value["rows"], value["input_tokens"]) == (20_000, 2_900_000)
    assert value["cost"]["batch"] == 3.45
    assert value["cost"]["standard"] == 6.9
    assert value["seconds"] is None
    # A deviation of 21.8 over the root of 5, t = 2.78 at four degrees of freedom, of 145.
    assert value["per_row"]["input"] == {
        "value": 145, "kind": "measured", "error": 0.1869, "source": "from the 5-row sample",
    }  # fmt: skip
    assert [one["batch"] for one in value["compared"]] == [5.8125, None]
    assert as_json(estimate())["rows_per_second"] == [8.104, 8.104]


# -- where it would be answered -------------------------------------------------------------------


def told(*urls: str, state: str = "up", models: tuple[str, ...] = ("m",)) -> Readiness:
    engines = [
        EngineState(f"e{n}", state, url=url, limit=8, models=list(models))
        for n, url in enumerate(urls)
    ]
    return Readiness("ok", "0.1.0", engines=engines)


@pytest.mark.parametrize(
    ("url", "own"),
    [
        ("http://127.0.0.1:8000", True),
        ("http://localhost:8000", True),
        ("http://[::1]:8000", True),
        ("http://10.0.3.7:8000", True),
        ("http://vllm:8000", True),
        ("http://gpu7.lan:8000", True),
        ("", True),
        ("https://api.anthropic.com", False),
        ("https://llm.example.com", False),
        ("http://8.8.8.8:8000", False),
    ],
)
def test_an_engine_on_the_open_internet_may_cost_money(url: str, own: bool) -> None:
    assert ground(told(url), "m") == Ground(own=own, at_once=8, engines=1)


def test_only_engines_that_serve_the_model_count() -> None:
    both = told("http://localhost:1", "http://localhost:2")
    both.engines.append(EngineState("far", "up", url="https://api.anthropic.com", models=["x"]))
    assert ground(both, "m") == Ground(own=True, at_once=16, engines=2)
    assert ground(both, "claude-alias").own is False


def test_a_server_of_another_make_tells_nothing() -> None:
    assert ground(None, "m") == Ground()


# -- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0", "$0"), ("3.45", "$3.45"), ("3.4", "$3.40"), ("0.675", "$0.68"), ("0.0425", "$0.043"),
        ("0.0042", "$0.0042"), ("0.00000001", "less than $0.000001"), ("1240.4", "$1 240"),
        ("999.999", "$1 000"), ("0.0999", "$0.10"),
    ],
)  # fmt: skip
def test_dollars_are_rounded_to_what_matters(value: str, text: str) -> None:
    assert dollars(Decimal(value)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(812, "812"), (41_000, "41.0 k"), (99_960, "100 k"), (800_000, "0.8 M"), (2_900_000, "2.9 M"),
     (123_456_789, "123 M"), (1.2e9, "1.2 G"), (0, "0")],
)  # fmt: skip
def test_tokens_are_told_in_thousands_and_millions(value: float, text: str) -> None:
    assert many(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (89, "89 s"), (2460, "41 min"), (7500, "2 h 5 min"), (7200, "2 h"),
     (172_800, "2 d"), (367_200, "4 d 6 h")],
)  # fmt: skip
def test_time_is_told_in_its_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_small_numbers_keep_two_digits_and_errors_are_never_rounded_down() -> None:
    assert [small(one) for one in (0, 0.291, 8.13, 33.4, 1234, 0.00001)] == [
        "0", "0.29", "8.1", "33", "1 234", "0.0000",
    ]  # fmt: skip
    assert [percent(one) for one in (0.0, 0.201, 0.25, 1.3)] == ["±1 %", "±21 %", "±25 %", "±130 %"]
