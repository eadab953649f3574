"""Caps on cost, tokens and hours: what they are, and what is said when one allows no more."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from batchyard.errors import CapReached, ConfigurationError
from batchyard.pipeline.estimate.shown import dollars, duration, grouped

Name = Literal["max_cost", "max_tokens_total", "max_hours"]


@dataclass(frozen=True, slots=True)
class Caps:
    """The most a run may take, over all its sessions: dollars, tokens in and out, hours.

    Raises `ConfigurationError` for a cap that is not above zero.
    """

    max_cost: Decimal | None = None
    max_tokens_total: int | None = None
    max_hours: float | None = None

    def __post_init__(self) -> None:
        for name in ("max_cost", "max_tokens_total", "max_hours"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ConfigurationError(
                    f"{flag(name)} {value}: a cap must be above 0", fix="leave it out for no cap"
                )

    def __bool__(self) -> bool:
        return any(
            cap is not None for cap in (self.max_cost, self.max_tokens_total, self.max_hours)
        )


@dataclass(frozen=True, slots=True)
class Reach:
    """How a cap stands: `spent` for good, `held` for batches on their way, `next` for `rows` more.

    `wanted` is what the whole run is expected to take, None before a row has ended.
    """

    name: Name
    cap: Decimal
    spent: Decimal
    held: Decimal
    next: Decimal
    rows: int
    wanted: Decimal | None


def flag(name: str) -> str:
    """`--max-cost`."""
    return "--" + name.replace("_", "-")


def reached(reach: Reach, answers: int) -> CapReached:
    """What is raised when the cap does not allow the rows that are next."""
    shown = _WORDS[reach.name]
    more = "one more row" if reach.rows == 1 else f"{grouped(reach.rows)} more rows"
    held = f", {shown(reach.held)} set aside for rows on their way" if reach.held else ""
    kept = f"{grouped(answers)} answer{'s are' if answers != 1 else ' is'} kept"
    return CapReached(
        f"{flag(reach.name)} allows {shown(reach.cap)}: {shown(reach.spent)} spent so far{held}, "
        f"and {more} can take up to {shown(reach.next)}; nothing more was sent, {kept}",
        fix=f"continue with: batchyard resume {flag(reach.name)} {_enough(reach)}",
    )


def _hours(value: Decimal) -> str:
    return duration(float(value) * 3600) if value else "0 h"


def _tokens(value: Decimal) -> str:
    return f"{grouped(float(value))} tokens"


_WORDS = {"max_cost": dollars, "max_tokens_total": _tokens, "max_hours": _hours}


def _enough(reach: Reach) -> str:
    """A cap under which the run is expected to end, as two digits that can be typed."""
    need = reach.cap * 2 if reach.wanted is None else reach.wanted * Decimal("1.1")
    need = max(need, reach.cap * Decimal("1.1"), reach.spent + reach.held) + reach.next
    step = Decimal(1).scaleb(need.adjusted() - 1)
    if reach.name == "max_tokens_total":
        step = max(step, Decimal(1))
    return f"{(need / step).to_integral_value('ROUND_CEILING') * step:f}"
