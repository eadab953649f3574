"""Progress on its way to a person or a program: a bar, plain lines, JSON events, or nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from typing import Generic, Literal, Protocol, TypeVar

from batchyard.cli import shown, talk
from batchyard.cli.progress import View
from batchyard.cli.shown import number
from batchyard.client.pace import Eta
from batchyard.terminal import Live, Text

Mode = Literal["auto", "bar", "plain", "json", "none"]

PLAIN_SECONDS, PLAIN_PERCENT = 30.0, 5
"""A plain line comes when both have passed since the last one: neither floods a log."""

PLAIN_SECONDS_MAX = 300.0
"""A log that is silent for longer looks dead, and some machines then end the job."""

BAR_WIDTH_MIN, BAR_WIDTH_MAX = 10, 40


class Sight(Protocol):
    """What displays need to know of a view, whatever it is a view of."""

    @property
    def state(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def percent(self) -> int: ...
    @property
    def elapsed(self) -> float: ...


V = TypeVar("V", bound=Sight)


@dataclass(frozen=True, slots=True)
class Look(Generic[V]):
    """How one kind of view looks: a line for logs, the lines of a bar, the fields of an event.

    An event comes whenever `change`, a digest of the view, is not what it was.
    """

    line: Callable[[V], str]
    bar: Callable[[V, int, talk.Marks], Text]
    fields: Callable[[V], dict[str, object]]
    change: Callable[[V], object]


class Display(Protocol[V]):  # type: ignore[misc] # read by `show` alone, yet views have no variance
    """Where views go. `open` is held while they come."""

    def open(self) -> AbstractContextManager[object]: ...
    def show(self, view: V, /) -> None: ...


def chosen(mode: Mode, look: Look[V], *, as_json: bool) -> Display[V]:
    """The display for `--progress MODE` and `--json` on this terminal."""
    if as_json or mode == "json":
        return JsonEvents(look)
    if mode == "none":
        return Nothing(look)
    able = sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", None)
    return Bar(look) if mode == "bar" or (mode == "auto" and able) else PlainLines(look)


class Nothing(Generic[V]):
    """No progress at all."""

    def __init__(self, look: Look[V]) -> None:
        self._look = look
        self._last: V | None = None

    def open(self) -> AbstractContextManager[object]:
        return nullcontext()

    def show(self, view: V) -> None:
        """Nothing."""


class PlainLines(Nothing[V]):
    """Lines for logs: at the start, now and then, when the state changes, at the end."""

    def show(self, view: V) -> None:
        if self._due(view):
            self._last = view
            talk.say(self._look.line(view))

    def _due(self, view: V) -> bool:
        last = self._last
        if last is None or (view.state, view.reason) != (last.state, last.reason):
            return True
        waited = view.elapsed - last.elapsed
        moved = view.percent - last.percent
        return waited >= PLAIN_SECONDS_MAX or (waited >= PLAIN_SECONDS and moved >= PLAIN_PERCENT)


class JsonEvents(Nothing[V]):
    """One event for each change."""

    def show(self, view: V) -> None:
        last, change = self._last, self._look.change
        if last is None or change(view) != change(last):
            self._last = view
            talk.event("progress", **self._look.fields(view))


class Bar(Nothing[V]):
    """A few lines that stay where they are."""

    def __init__(self, look: Look[V]) -> None:
        super().__init__(look)
        self._live: Live | None = None
        self._marks = talk.marks()

    def open(self) -> AbstractContextManager[object]:
        self._live = Live(sys.stderr)
        return self._live

    def show(self, view: V) -> None:
        assert self._live is not None
        self._live.update(self._look.bar(view, self._live.width, self._marks))


def _change(view: View) -> object:
    return view.batch, view.state, view.reason


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
    noun = "request" if view.total == 1 else "requests"
    # Numbers get the room of the largest one, so that the bar does not move while they grow.
    amounts = "   ".join(_amounts(view, len(number(view.total))))
    gauge = Gauge(view.total, view.total - view.left, view.failed, view.percent)
    return fitted(
        [
            Text(f"{view.batch.id}  {number(view.total)} {noun}  {view.state}"),
            gauge.line(amounts, width, marks),
            Text(" " + f" {marks.none} ".join(_pace(view, marks.range)), style="dim"),
        ],
        width,
        marks,
    )


@dataclass(frozen=True, slots=True)
class Gauge:
    """How much of `total` is done, and how much of that has failed."""

    total: int
    done: int
    failed: int
    percent: int

    def line(self, amounts: str, width: int, marks: talk.Marks) -> Text:
        """The bar with what it stands for; without the bar where there is no room for one."""
        percent = f"{self.percent:>3} %"
        cells = min(BAR_WIDTH_MAX, width - len(amounts) - len(percent) - 8)
        if cells < BAR_WIDTH_MIN:  # the numbers say the same
            return Text.assemble(" ", (percent, "bold"), f"  {amounts}")
        good, bad = self._cells(cells)
        return Text.assemble(
            " ",
            (marks.full * good, "green"),
            (marks.full * bad, "yellow"),
            (marks.empty * (cells - good - bad), "dim"),
            f"  {amounts}  ",
            (percent, "bold"),
        )

    def _cells(self, cells: int) -> tuple[int, int]:
        """Cells filled for answers and for failures, which get one as soon as any are."""
        if not self.total:
            return 0, 0
        filled = cells * self.done // self.total
        bad = min(filled, max(1, cells * self.failed // self.total)) if self.failed else 0
        return filled - bad, bad


def fitted(lines: Sequence[Text], width: int, marks: talk.Marks) -> Text:
    """The lines as one text, none wider than `width`."""
    for line in lines:
        line.truncate(width, overflow="ellipsis" if marks.range != "-" else "crop")
    return Text("\n").join(lines)


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


OF_BATCHES: Look[View] = Look(plain_line, bar_text, fields, _change)
