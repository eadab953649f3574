"""How a run in progress looks: two lines on a terminal, one in a log, one event for a program."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from batchyard.cli import shown, talk
from batchyard.cli.display import Gauge, Look, eta_text, fitted
from batchyard.cli.shown import number
from batchyard.pipeline.estimate.shown import dollars
from batchyard.terminal import Text

if TYPE_CHECKING:
    from batchyard.pipeline.run import Progress


_STEPS = ("preparing", "submitting", "running", "collecting", "writing")


@dataclass(frozen=True, slots=True)
class View:
    """A run as it is shown: how far it is, and the dollars it took so far.

    `spent` is None where tokens have no price.
    """

    progress: Progress
    spent: Decimal | None = None

    @property
    def state(self) -> str:
        """Coarser than the runner's own: its small steps follow each other too fast to be read."""
        if self.progress.state not in _STEPS:
            return self.progress.state
        return "running" if self.progress.left else "finalising"

    @property
    def reason(self) -> str:
        return self.progress.reason

    @property
    def percent(self) -> int:
        return self.progress.percent

    @property
    def elapsed(self) -> float:
        return self.progress.elapsed


def line(view: View) -> str:
    """One line that says it all."""
    at = view.progress
    head = f"[{shown.duration(at.elapsed)}] {at.run} {view.state} {at.percent} %"
    return f"{head}: {', '.join([*_amounts(at), *_pace(view, '-')])}"


def bar(view: View, width: int, marks: talk.Marks) -> Text:
    """The bar with its numbers, and the pace under it until the end."""
    at = view.progress
    gauge = Gauge(at.total, at.succeeded + at.failed, at.failed, at.percent)
    if at.state == "done":
        end = f"   finished in {shown.duration(at.elapsed)}"
        text = gauge.line("   ".join(_amounts(at)), width - len(end), marks)
        return fitted([text.append(end)], width, marks)
    amounts = "   ".join(_amounts(at, len(number(at.total))))
    state = [] if view.state == "running" else [view.state]
    pace = Text(" " + f" {marks.none} ".join([*state, *_pace(view, marks.range)]), style="dim")
    return fitted([gauge.line(amounts, width, marks), pace], width, marks)


def fields(view: View) -> dict[str, object]:
    """A view as the fields of an event."""
    at = view.progress
    return {
        "run": at.run,
        "state": view.state,
        "reason": at.reason,
        "rows": at.total,
        "succeeded": at.succeeded,
        "failed": at.failed,
        "left": at.left,
        "percent": at.percent,
        "batches_in_process": at.in_process,
        "rows_per_second": _rounded(at.rate),
        "input_tokens_per_second": _rounded(at.input_rate),
        "output_tokens_per_second": _rounded(at.output_rate),
        "eta_seconds": {name: round(value, 1) for name, value in asdict(at.eta).items()}
        if at.eta
        else None,
        "cost_usd": None if view.spent is None else float(view.spent),
    }


def _change(view: View) -> object:
    at = view.progress
    return view.state, at.reason, at.succeeded, at.failed, at.in_process


LOOK: Look[View] = Look(line, bar, fields, _change)


def _amounts(at: Progress, digits: int = 0) -> list[str]:
    amounts = [f"{number(at.succeeded):>{digits}} ok", f"{number(at.failed):>{digits}} failed"]
    if at.state != "done" or at.left:
        amounts.append(f"{number(at.left):>{digits}} left")
    return amounts


def _pace(view: View, dash: str) -> list[str]:
    """Speed, cost so far and end, or why there is no speed."""
    at = view.progress
    spent = [] if view.spent is None else [f"{dollars(view.spent)} so far"]
    if at.state == "done":
        return [f"finished in {shown.duration(at.elapsed)}", *spent]
    if at.reason:
        return [at.reason, *spent]
    if view.state != "running":
        return spent
    speed = [] if at.rate is None else [f"{at.rate:.1f} rows/s"]
    if at.input_rate and at.output_rate:
        speed.append(f"{number(round(at.input_rate))} tok/s in")
        speed.append(f"{number(round(at.output_rate))} tok/s out")
    return [*speed, *spent, f"ETA {eta_text(at.eta, dash)}" if at.eta else "ETA estimating"]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
