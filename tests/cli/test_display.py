"""How progress looks: widths, words, and how often a line is worth its place in a log."""

from __future__ import annotations

import json
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.cli import display, talk
from batchyard.cli.progress import View
from batchyard.cli.talk import Marks
from batchyard.client.pace import Eta
from batchyard.wire import MessageBatch
from tests.client.stub import batch

BATCH = msgspec.convert(batch(processing=1_313, succeeded=1_684, errored=3), MessageBatch)
VIEW = View(
    batch=BATCH,
    state="running",
    reason="",
    total=3_000,
    succeeded=1_684,
    errored=3,
    canceled=0,
    expired=0,
    left=1_313,
    percent=56,
    elapsed=68.4,
    rate=24.6,
    eta=Eta(53.2, 45.1, 70.4),
)
FANCY, PLAIN = Marks(plain=False), Marks(plain=True)


def test_the_bar_says_everything_in_three_lines() -> None:
    lines = display.bar_text(VIEW, 80, FANCY).plain.splitlines()
    assert lines == [
        "msgbatch_1  3 000 requests  running",
        " ████████████████░░░░░░░░░░░░░░  1 684 ok       3 errored   1 313 left   56 %",
        " 24.6 req/s · ETA 53 s (45\N{EN DASH}70)",
    ]


def test_without_unicode_it_says_the_same() -> None:
    text = display.bar_text(VIEW, 80, PLAIN).plain
    assert text.isascii()
    assert "################.............." in text
    assert "ETA 53 s (45-70)" in text


@given(
    width=st.integers(20, 200),
    ok=st.integers(0, 100_000),
    errored=st.integers(0, 100_000),
    left=st.integers(0, 100_000),
    canceled=st.sampled_from([0, 99_999]),
    plain=st.booleans(),
    reason=st.sampled_from(["", "vllm: connection refused, next try in 30 s " * 4]),
)
def test_no_line_is_wider_than_the_terminal(
    width: int, ok: int, errored: int, left: int, canceled: int, plain: bool, reason: str
) -> None:
    total = ok + errored + left + canceled
    view = replace(
        VIEW, succeeded=ok, errored=errored, left=left, canceled=canceled, total=total,
        reason=reason,
    )  # fmt: skip
    lines = display.bar_text(view, width, Marks(plain=plain)).plain.split("\n")
    assert len(lines) == 3
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize("done", [0, 1, 9, 99, 999, 3_000])
def test_the_bar_stays_where_it_is_while_numbers_grow(done: int) -> None:
    view = replace(VIEW, succeeded=done, errored=0, left=3_000 - done)
    bar = display.bar_text(view, 80, FANCY).plain.splitlines()[1]
    assert bar.index(" ok") == display.bar_text(VIEW, 80, FANCY).plain.splitlines()[1].index(" ok")


def test_one_failure_among_many_is_seen() -> None:
    view = replace(VIEW, succeeded=2_998, errored=1, left=1)
    text = display.bar_text(view, 80, FANCY)
    assert any(style == "yellow" for _, style in text.parts)
    sound = display.bar_text(replace(VIEW, errored=0), 80, FANCY)
    assert not any(style == "yellow" for _, style in sound.parts)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s (0-1)"),
        (89, "89 s (80-98)"),
        (90, "2 min (1-2)"),
        (3_000, "50 min (45-55)"),
        (7_200, "2.0 h (1.8-2.2)"),
        (100_000, "27.8 h (25.0-30.6)"),
        (864_000, "10.0 d (9.0-11.0)"),
    ],
)
def test_an_estimate_has_the_unit_that_suits_it(seconds: float, text: str) -> None:
    margin = max(0.4, seconds / 10)
    assert display.eta_text(Eta(seconds, seconds - margin, seconds + margin), "-") == text


def test_a_plain_line_says_it_all() -> None:
    assert display.plain_line(VIEW) == (
        "[1 min 8 s] msgbatch_1 running 56 %: 1 684 ok, 3 errored, 1 313 left, "
        "24.6 req/s, ETA 53 s (45-70)"
    )


def test_a_plain_line_gives_the_reason_for_waiting() -> None:
    waiting = replace(VIEW, state="waiting for engine", reason="vllm: connection refused", eta=None)
    assert display.plain_line(waiting).endswith("1 313 left, vllm: connection refused")


def lines_of(views: list[View], capsys: pytest.CaptureFixture[str]) -> list[str]:
    screen = display.PlainLines(display.OF_BATCHES)
    with screen.open():
        for view in views:
            screen.show(view)
    streams = capsys.readouterr()
    assert streams.out == "", "talk is not data"
    return streams.err.splitlines()


def test_plain_lines_come_when_both_time_and_work_have_passed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    views = [replace(VIEW, elapsed=float(t), percent=t // 20) for t in range(2_000)]
    lines = lines_of(views, capsys)
    assert len(lines) == 20, "every 5 %, which takes 100 s here"
    quick = [replace(VIEW, elapsed=float(t), percent=t) for t in range(100)]
    assert len(lines_of(quick, capsys)) == 4, "every 30 s"


def test_a_standstill_is_told_every_five_minutes(capsys: pytest.CaptureFixture[str]) -> None:
    views = [replace(VIEW, elapsed=float(t)) for t in range(1_000)]
    assert len(lines_of(views, capsys)) == 4


def test_a_change_of_state_is_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    views = [VIEW, replace(VIEW, state="waiting for engine", reason="x"), VIEW]
    assert len(lines_of(views, capsys)) == 3


def test_json_events_come_with_changes_only(capsys: pytest.CaptureFixture[str]) -> None:
    screen = display.JsonEvents(display.OF_BATCHES)
    for view in (VIEW, replace(VIEW, elapsed=99.0), replace(VIEW, state="finalising")):
        screen.show(view)
    streams = capsys.readouterr()
    assert streams.err == ""
    first, second = (json.loads(line) for line in streams.out.splitlines())
    assert first == {
        "schema_version": talk.SCHEMA_VERSION,
        "event": "progress",
        "batch_id": "msgbatch_1",
        "state": "running",
        "reason": "",
        "requests": 3_000,
        "counts": batch(processing=1_313, succeeded=1_684, errored=3)["request_counts"],
        "percent": 56,
        "requests_per_second": 24.6,
        "eta_seconds": {"seconds": 53.2, "low": 45.1, "high": 70.4},
    }
    assert second["state"] == "finalising"


@pytest.mark.parametrize(
    ("mode", "as_json", "tty", "term", "kind"),
    [
        ("auto", False, True, "xterm", display.Bar),
        ("auto", False, True, "dumb", display.PlainLines),
        ("auto", False, False, "xterm", display.PlainLines),
        ("bar", False, False, "dumb", display.Bar),
        ("plain", False, True, "xterm", display.PlainLines),
        ("none", False, True, "xterm", display.Nothing),
        ("json", False, True, "xterm", display.JsonEvents),
        ("auto", True, True, "xterm", display.JsonEvents),
    ],
)
def test_the_terminal_decides_unless_it_is_told(
    monkeypatch: pytest.MonkeyPatch, mode: display.Mode, as_json: bool, tty: bool, term: str,
    kind: type,
) -> None:  # fmt: skip
    monkeypatch.setattr("sys.stderr.isatty", lambda: tty, raising=False)
    monkeypatch.setenv("TERM", term)
    assert type(display.chosen(mode, display.OF_BATCHES, as_json=as_json)) is kind
