"""How a run in progress looks."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from batchyard.cli.runs.said import sight
from batchyard.cli.talk import Marks
from batchyard.client.pace import Eta
from batchyard.pipeline.run import Progress

AT = Progress(
    run="run_7Q2K", state="running", reason="", total=20_000, succeeded=8_412, failed=6,
    in_process=2, elapsed=1_010.0, input_tokens=9, output_tokens=9, rate=8.3, input_rate=1_200.4,
    output_rate=330.0, eta=Eta(1_380, 1_300, 1_500),
)  # fmt: skip
VIEW = sight.View(AT, Decimal("1.2345"))


def view(spent: Decimal | None = None, **changes: Any) -> sight.View:
    return sight.View(replace(AT, **changes), spent)


FANCY, PLAIN = Marks(plain=False), Marks(plain=True)


def test_the_bar_says_everything_in_two_lines() -> None:
    done, pace = sight.bar(VIEW, 90, FANCY).plain.splitlines()
    assert done == (
        " ███████████████░░░░░░░░░░░░░░░░░░░░░░░   8 412 ok        6 failed   11 582 left   42 %"
    )
    assert pace == (
        " 8.3 rows/s · 1 200 tok/s in · 330 tok/s out · $1.23 so far · ETA 23 min (22\N{EN DASH}25)"
    )


def test_at_the_end_it_is_one_line() -> None:
    ended = view(state="done", succeeded=19_988, failed=12, elapsed=2_412.0)
    text = sight.bar(ended, 120, FANCY).plain
    assert text.lstrip(" █▒") == "19 988 ok   12 failed  100 %   finished in 40 min 12 s"


def test_a_plain_line_says_it_all() -> None:
    assert sight.line(VIEW) == (
        "[16 min 50 s] run_7Q2K running 42 %: 8 412 ok, 6 failed, 11 582 left, 8.3 rows/s, "
        "1 200 tok/s in, 330 tok/s out, $1.23 so far, ETA 23 min (22-25)"
    )


def test_why_nothing_moves_is_told() -> None:
    waiting = view(state="waiting for server", reason="connection refused", eta=None)
    assert sight.line(waiting).endswith("left, connection refused")
    assert "run_7Q2K waiting for server 42 %" in sight.line(waiting)
    finalising = view(state="finalising")
    assert sight.bar(finalising, 80, PLAIN).plain.splitlines()[1] == " finalising"


@given(
    width=st.integers(20, 200),
    ok=st.integers(0, 1_000_000),
    failed=st.integers(0, 1_000_000),
    left=st.integers(0, 1_000_000),
    state=st.sampled_from(["running", "done", "finalising"]),
    plain=st.booleans(),
)
def test_no_line_is_wider_than_the_terminal(
    width: int, ok: int, failed: int, left: int, state: str, plain: bool
) -> None:
    shown = view(succeeded=ok, failed=failed, total=ok + failed + left, state=state)
    text = sight.bar(shown, width, Marks(plain=plain)).plain
    assert max(map(len, text.split("\n"))) <= width
    assert not plain or text.isascii()


def test_an_event_has_the_numbers() -> None:
    event = sight.fields(VIEW)
    assert event["left"] == 11_582
    assert event["eta_seconds"] == {"seconds": 1380, "low": 1300, "high": 1500}
    assert event["cost_usd"] == 1.2345
    assert sight.fields(view(eta=None))["cost_usd"] is None
