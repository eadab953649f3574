"""How fast a run goes, and that a resumed one does not begin at nothing."""

from __future__ import annotations

from batchyard.cli.runs.pace import Counts, Pace


def test_rows_and_tokens_have_their_speed() -> None:
    pace = Pace("run_1", 1_000)
    for second in range(101):
        view = pace.see(float(second), Counts(5 * second, 0, 500 * second, 50 * second), "running")
    assert round(view.rate or 0, 3) == 5.0
    assert view.tokens is not None
    assert [round(speed) for speed in view.tokens] == [500, 50]
    assert view.eta is not None
    assert round(view.eta.seconds) == 100
    assert (view.percent, view.left) == (50, 500)


def test_what_an_earlier_session_did_is_no_speed() -> None:
    pace = Pace("run_1", 1_000)
    view = pace.see(0.0, Counts(900, 10, 90_000, 9_000), "running")
    assert (view.percent, view.rate, view.tokens, view.eta) == (91, None, None, None)
    view = pace.see(10.0, Counts(900, 10, 90_000, 9_000), "running")
    assert (view.rate, view.tokens) == (None, None)


def test_there_is_no_estimate_while_nothing_can_move() -> None:
    pace = Pace("run_1", 100)
    for second in range(50):
        pace.see(float(second), Counts(second, 0), "running")
    assert pace.see(51.0, Counts(50, 0), "running", "server away").eta is None
    assert pace.see(52.0, Counts(50, 0), "running").eta is not None


def test_only_the_end_of_all_rows_is_a_hundred_percent() -> None:
    assert Pace("r", 10).see(0.0, Counts(10, 0), "finalising").percent == 99
    assert Pace("r", 10).see(0.0, Counts(9, 1), "ended").percent == 100
    assert Pace("r", 10).see(0.0, Counts(4, 1), "ended").percent == 50
