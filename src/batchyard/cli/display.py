"""Progress on its way to a person or a program: a bar, plain lines, JSON events, or nothing."""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from typing import Literal, Protocol

from batchyard.cli import shown, talk
from batchyard.cli.progress import Eta, View
from batchyard.cli.shown import number
from batchyard.terminal import Live, Text

Mode = Literal["auto", "bar", "plain", "json", "none"]

PLAIN_SECONDS, PLAIN_PERCENT = 30.0, 5
"""A plain line comes when both have passed since the last one: neither floods a log."""

PLAIN_SECONDS_MAX = 300.0
"""A log that is silent for longer looks dead, and some machines then end the job."""

BAR_WIDTH_MIN, BAR_WIDTH_MAX = 10, 40


class Display(Protocol):
    """Where views go. `open` is held while they come."""

    def open(self) -> AbstractContextManager[object]: ...
    def show(self, view: View, /) -> None: ...


def chosen(mode: Mode, *, as_json: bool) -> Display:
    """The display for `--progress MODE` and `--json` on this terminal."""
    if as_json or mode == "json":
        return JsonEvents()
    if mode == "none":
        return Nothing()
    able = sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", None)
    return Bar() if mode == "bar" or (mode == "auto" and able) else PlainLines()


class Nothing:
    """No progress at all."""

    def open(self) -> AbstractContextManager[object]:
        return nullcontext()

    def show(self, view: View) -> None:
        """Nothing."""


class PlainLines(Nothing):
    """Lines for logs: at the start, now and then, when the state changes, at the end."""

    def __init__(self) -> None:
        self._last: View | None = None

    def show(self, view: View) -> None:
        if self._due(view):
            self._last = view
            talk.say(plain_line(view))

    def _due(self, view: View) -> bool:
        last = self._last
        if last is None or (view.state, view.reason) != (last.state, last.reason):
            return True
        waited = view.elapsed - last.elapsed
        moved = view.percent - last.percent
        return waited >= PLAIN_SECONDS_MAX or (waited >= PLAIN_SECONDS and moved >= PLAIN_PERCENT)


class JsonEvents(Nothing):
    """One event for each change."""

    def __init__(self) -> None:
        self._last: View | None = None

    def show(self, view: View) -> None:
        last = self._last
        if last is None or (view.batch, view.state, view.reason) != (
            last.batch,
            last.state,
            last.reason,
        ):
            self._last = view
            talk.event("progress", **fields(view))


class Bar(Nothing):
    """Three lines that stay where they are."""

    def __init__(self) -> None:
        self._live: Live | None = None
        self._marks = talk.marks()

    def open(self) -> AbstractContextManager[object]:
        self._live = Live(sys.stderr)
        return self._live

    def show(self, view: View) -> None:
        assert self._live is not None
        text = bar_text(view, self._live.width, self._marks)
        self._live.update(text)


def fields(view: View) -> dict[str, object]:
    """A view as the fields of an event."""
    return {
        "batch_id": view.batch.id,
        "state": view.state,
        "reason": view.reason,
        "requests": view.total,
        "counts": shown.as_json(view.batch.request_counts),
        "percent": view.percent,
        "requests_per_second": None if view.rate is None else round(view.rate, 3),
        "eta_seconds": {name: round(value, 1) for name, value in asdict(view.eta).items()}
        if view.eta
        else None,
    }


def plain_line(view: View) -> str:
    """One line that says it all."""
    head = f"[{shown.duration(view.elapsed)}] {view.batch.id} {view.state} {view.percent} %"
    return f"{head}: {', '.join([*_amounts(view), *_pace(view, '-')])}"


def bar_text(view: View, width: int, marks: talk.Marks) -> Text:
    """The three lines of the bar, none wider than `width`."""
    # Numbers get the room of the largest one, so that the bar does not move while they grow.
    amounts = "   ".join(_amounts(view, len(number(view.total))))
    percent = f"{view.percent:>3} %"
    cells = min(BAR_WIDTH_MAX, width - len(amounts) - len(percent) - 8)
    cells = cells if cells >= BAR_WIDTH_MIN else 0  # the numbers say the same
    good, bad = _cells(view, cells)
    noun = "request" if view.total == 1 else "requests"
    lines = (
        Text(f"{view.batch.id}  {number(view.total)} {noun}  {view.state}"),
        Text.assemble(
            " ",
            (marks.full * good, "green"),
            (marks.full * bad, "yellow"),
            (marks.empty * (cells - good - bad), "dim"),
            f"  {amounts}  " if cells else "",
            (percent, "bold"),
            "" if cells else f"  {amounts}",
        ),
        Text(" " + f" {marks.none} ".join(_pace(view, marks.range)), style="dim"),
    )
    for line in lines:
        line.truncate(width, overflow="ellipsis" if marks.range != "-" else "crop")
    return Text("\n").join(lines)


def _cells(view: View, cells: int) -> tuple[int, int]:
    """How many cells are filled for answers and for failures, which get one as soon as any are."""
    if not view.total:
        return 0, 0
    filled = cells * (view.total - view.left) // view.total
    bad = min(filled, max(1, cells * view.failed // view.total)) if view.failed else 0
    return filled - bad, bad


def _amounts(view: View, digits: int = 0) -> list[str]:
    named = (("errored", view.errored), ("canceled", view.canceled), ("expired", view.expired))
    return [
        f"{number(view.succeeded):>{digits}} ok",
        *(f"{number(many):>{digits}} {name}" for name, many in named if many or name == "errored"),
        f"{number(view.left):>{digits}} left",
    ]


def _pace(view: View, dash: str) -> list[str]:
    """Speed and end, or why there is neither."""
    if view.state == "ended":
        return [f"took {_lifetime(view)}"]
    if view.reason:
        return [view.reason]
    if view.state in ("queued", "finalising"):
        return []
    speed = [] if view.rate is None else [f"{view.rate:.1f} req/s"]
    return [*speed, f"ETA {eta_text(view.eta, dash)}" if view.eta else "ETA estimating"]


def _lifetime(view: View) -> str:
    batch = view.batch
    return shown.duration(shown.seconds_between(batch.created_at, batch.ended_at or ""))


_UNITS = ((90, "s", 1, 0), (5_400, "min", 60, 0), (129_600, "h", 3_600, 1))


def eta_text(eta: Eta, dash: str) -> str:
    """`53 s (45-70)`: all three in the unit that suits the middle one."""
    found = (unit[1:] for unit in _UNITS if eta.seconds < unit[0])
    name, size, digits = next(found, ("d", 86_400, 1))
    low, middle, high = (f"{value / size:.{digits}f}" for value in (eta.low, eta.seconds, eta.high))
    return f"{middle} {name} ({low}{dash}{high})"
