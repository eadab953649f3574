"""How far a run is, while the answers of a batch come in page by page."""

from __future__ import annotations

from batchyard.pipeline.run.progress import Meter
from batchyard.pipeline.run.store import Totals
from batchyard.wire import RequestCounts


def test_rows_are_counted_once_while_they_move_from_the_server_to_the_run() -> None:
    meter = Meter("run_1")
    meter.saw(1, RequestCounts(0, 90, 10, 0, 0))
    for page in range(6):
        good, bad = 18 * page, 2 * page
        meter.took(1, good + bad, bad)
        totals = Totals(batched=100 - good - bad, succeeded=good, errored=bad)
        at = meter.see(float(page), totals, "collecting")
        assert (at.succeeded, at.failed, at.left) == (90, 10, 0)


def test_answers_that_do_not_fit_are_failures_as_they_come() -> None:
    meter = Meter("run_1")
    meter.saw(1, RequestCounts(0, 100, 0, 0, 0))
    meter.took(1, 40, 30)
    at = meter.see(0.0, Totals(batched=60, succeeded=10, errored=30), "collecting")
    assert (at.succeeded, at.failed, at.left) == (70, 30, 0)


def test_rows_to_be_asked_again_are_left_again() -> None:
    meter = Meter("run_1")
    meter.saw(1, RequestCounts(0, 100, 0, 0, 0))
    meter.took(1, 40, 0)
    at = meter.see(0.0, Totals(batched=60, waiting=30, succeeded=10), "collecting")
    assert (at.succeeded, at.left) == (70, 30)
