"""How a run in progress looks: two lines on a terminal, one in a log, one event for a program."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from batchyard.cli import shown, talk
from batchyard.cli.display import Gauge, Look, eta_text, fitted
from batchyard.cli.shown import number
from batchyard.client.pace import Eta

if TYPE_CHECKING:
    from rich.text import Text

State = Literal["running", "waiting", "finalising", "stopping", "ended"]


@dataclass(frozen=True, slots=True)
class View:
    """A run as it is shown.

    `reason` says why nothing moves, "" when something does. `rate` is in rows per second,
    `tokens` of them in and out per second; both and `eta` are None while unknown. `spent` is in
    dollars, None where tokens have no price.
    """

    run: str
    state: State
    reason: str
    total: int
    succeeded: int
    failed: int
    percent: int
    elapsed: float
    rate: float | None = None
    tokens: tuple[float, float] | None = None
    eta: Eta | None = None
    spent: Decimal | None = None

    @property
    def left(self) -> int:
        return self.total - self.succeeded - self.failed


def line(view: View) -> str:
    """One line that says it all."""
    head = f"[{shown.duration(view.elapsed)}] {view.run} {view.state} {view.percent} %"
    return f"{head}: {', '.join([*_amounts(view), *_pace(view, '-')])}"


def bar(view: View, width: int, marks: talk.Marks) -> Text:
    """The bar with its numbers, and the pace under it until the end."""
    from rich.text import Text

    gauge = Gauge(view.total, view.succeeded + view.failed, view.failed, view.percent)
    if view.state == "ended":
        end = f"   finished in {shown.duration(view.elapsed)}"
        text = gauge.line("   ".join(_amounts(view)), width - len(end), marks)
        return fitted([text.append(end)], width, marks)
    amounts = "   ".join(_amounts(view, len(number(view.total))))
    pace = Text(" " + f" {marks.none} ".join(_pace(view, marks.range)), style="dim")
    return fitted([gauge.line(amounts, width, marks), pace], width, marks)


def fields(view: View) -> dict[str, object]:
    """A view as the fields of an event."""
    sent, got = view.tokens or (None, None)
    return {
        "run": view.run,
        "state": view.state,
        "reason": view.reason,
        "rows": view.total,
        "succeeded": view.succeeded,
        "failed": view.failed,
        "left": view.left,
        "percent": view.percent,
        "rows_per_second": _rounded(view.rate),
        "input_tokens_per_second": _rounded(sent),
        "output_tokens_per_second": _rounded(got),
        "eta_seconds": {name: round(value, 1) for name, value in asdict(view.eta).items()}
        if view.eta
        else None,
        "cost_usd": None if view.spent is None else float(view.spent),
    }


def _change(view: View) -> object:
    return view.state, view.reason, view.succeeded, view.failed


LOOK: Look[View] = Look(line, bar, fields, _change)


def money(dollars: Decimal) -> str:
    """`$3.45`, `$0.0012`: two digits after the point, more where two would say nothing."""
    if dollars and dollars < Decimal("0.01"):
        return f"${dollars:.2g}" if dollars >= Decimal("0.0001") else "<$0.0001"
    return f"${dollars:,.2f}".replace(",", " ")


def _amounts(view: View, digits: int = 0) -> list[str]:
    amounts = [f"{number(view.succeeded):>{digits}} ok", f"{number(view.failed):>{digits}} failed"]
    if view.state != "ended" or view.left:
        amounts.append(f"{number(view.left):>{digits}} left")
    return amounts


def _pace(view: View, dash: str) -> list[str]:
    """Speed, cost so far and end, or why there is no speed."""
    spent = [] if view.spent is None else [f"{money(view.spent)} so far"]
    if view.state == "ended":
        return [f"finished in {shown.duration(view.elapsed)}", *spent]
    if view.reason:
        return [view.reason, *spent]
    if view.state != "running":
        return [view.state, *spent]
    speed = [] if view.rate is None else [f"{view.rate:.1f} rows/s"]
    if view.tokens:
        sent, got = view.tokens
        speed.append(f"{number(round(sent))} tok/s in, {number(round(got))} out")
    return [*speed, *spent, f"ETA {eta_text(view.eta, dash)}" if view.eta else "ETA estimating"]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
