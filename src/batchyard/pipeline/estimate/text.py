"""An estimate and a comparison as lines for a terminal, and as plain values for programs."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from batchyard.pipeline.estimate.estimate import Estimate, Pace
from batchyard.pipeline.estimate.figure import Figure
from batchyard.pipeline.estimate.prices.comparison import Comparison
from batchyard.pipeline.estimate.prices.price import Price, Rates
from batchyard.pipeline.estimate.shown import (
    dollars,
    durations,
    grouped,
    many,
    percent,
    small,
    span,
)

LABEL = 14
"""Width of the column of labels, the same as in the lines about input, prompt and sample."""

_PREFIX = {"measured": "", "rough": "about ", "at most": "at most "}


def lines(estimate: Estimate, width: int) -> list[str]:
    """The estimate in at most `width` columns where words allow it."""
    found = _labelled("estimate", [_headline(estimate)], width, " · ")
    if estimate.trouble:
        found += textwrap.wrap(
            estimate.trouble,
            max(width, 40),
            initial_indent=f"{'  no sample' if not estimate.sampled else '  sample':<{LABEL}}",
            subsequent_indent=" " * LABEL,
        )
    found += _labelled("  tokens", _tokens(estimate), width, " · ")
    found += _labelled("  time", _time(estimate), width, " · ")
    found += _labelled("  cost", _cost(estimate), width, "   ·   ")
    if len(estimate.compared) > 1:
        found += ["", *table(estimate.compared, estimate)]
    return found


def table(compared: Sequence[Comparison], estimate: Estimate) -> list[str]:
    """Standard and batch prices of the same job, one line per model."""
    head = (
        f"{'compare':<{LABEL}}{grouped(estimate.rows)} rows of {small(estimate.input.value)} in "
        f"and {small(estimate.output.value)} out"
    )
    rows = [("model", "standard", "batch")]
    rows += [(one.model, _or(one.standard), _or(one.batch)) for one in compared]
    name, single, batch = (max(len(row[column]) for row in rows) for column in range(3))
    return [
        head,
        *(f"  {row[0]:<{name}}   {row[1]:>{single}}   {row[2]:>{batch}}" for row in rows),
    ]


def as_json(estimate: Estimate) -> dict[str, Any]:
    """The estimate as plain values: dollars and seconds as numbers, null what is not known."""
    tokens, seconds, hours = estimate.tokens, estimate.seconds, estimate.machine_hours
    return {
        "rows": estimate.rows,
        "model": estimate.model,
        "sampled": estimate.sampled,
        "no_sample_because": estimate.trouble,
        "input_tokens": tokens.input,
        "output_tokens": tokens.output,
        "per_row": {"input": _figure(estimate.input), "output": _figure(estimate.output)},
        "seconds": None if seconds is None else [round(one, 1) for one in seconds],
        "rows_per_second": estimate.pace
        and [round(estimate.pace.measured, 3), round(estimate.pace.best, 3)],
        "machine_hours": None if hours is None else [round(one, 4) for one in hours],
        "cost": {
            "batch": _number(estimate.cost(batch=True)),
            "standard": _number(estimate.cost(batch=False)),
            "source": estimate.price and estimate.price.source,
        },
        "compared": [
            {
                "model": one.model,
                "standard": _number(one.standard),
                "batch": _number(one.batch),
                "source": one.source,
            }
            for one in estimate.compared
        ],
    }


def _labelled(label: str, parts: list[str], width: int, separator: str) -> list[str]:
    """Parts behind a label, on as many lines as they need, never one cut in two."""
    found, line = [], f"{label:<{LABEL}}{parts[0]}"
    for part in parts[1:]:
        between = "     " if part.startswith("(") else separator
        if len(line) + len(between) + len(part) <= width:
            line += between + part
        else:
            found.append(line)
            line = " " * LABEL + part
    return [*found, line]


def _headline(estimate: Estimate) -> str:
    error = "" if estimate.error is None else f" ({percent(estimate.error)})"
    if estimate.sampled:
        return estimate.input.source + (error or " (how far off is not known)")
    if estimate.input.kind == "measured":
        return f"prompts {estimate.input.source}, answers not known before a sample"
    return f"{estimate.input.source} (rough)"


def _tokens(estimate: Estimate) -> list[str]:
    tokens = estimate.tokens
    return [
        f"{_PREFIX[estimate.input.kind]}{many(tokens.input)} in",
        f"{_PREFIX[estimate.output.kind]}{many(tokens.output)} out",
    ]


def _time(estimate: Estimate) -> list[str]:
    pace, seconds = estimate.pace, estimate.seconds
    if pace is None or seconds is None:
        if estimate.ground.engines:
            return ["not known without a sample"]
        return ["up to 24 h: batches of this server wait for their turn"]
    rate = span(small(pace.measured), small(pace.best), " rows/s")
    engines = estimate.ground.engines
    where = "this engine" if engines == 1 else f"these {engines} engines"
    return [f"{durations(*seconds)} at {rate} on {where}", *_spread(pace)]


def _spread(pace: Pace) -> list[str]:
    """Why the time is a range."""
    if small(pace.measured) == small(pace.best):
        return []
    return [f"measured {pace.together} at a time, it may take {pace.at_once}"]


def _cost(estimate: Estimate) -> list[str]:
    return [*_paid(estimate), *_elsewhere(estimate)]


def _paid(estimate: Estimate) -> list[str]:
    price = estimate.price
    if price is None:
        return [f"not known: no price for {estimate.model}"]
    if price.standard is not None:
        return [*_machine(estimate, price), *_api(estimate, price, price.standard)]
    return [*_machine(estimate, price), *([] if price.gpu_hour is not None else ["$0 API"])]


def _machine(estimate: Estimate, price: Price) -> list[str]:
    """Hours of one's own machines, and dollars where they have a price."""
    hours, paid = estimate.machine_hours, price.gpu_hour
    if hours is None:
        return [] if paid is None else [f"{dollars(price.machine(1))} an hour"]
    used = "less than 0.01 GPU-hours"
    if hours[1] >= 0.01:
        used = span(small(hours[0]), small(hours[1]), " GPU-hours")
    if paid is None:
        return [used]
    return [f"{span(*(dollars(paid * Decimal(repr(one))) for one in hours))} for {used}"]


def _api(estimate: Estimate, price: Price, standard: Rates) -> list[str]:
    kinds = {estimate.input.kind, estimate.output.kind}
    prefix = next((_PREFIX[kind] for kind in ("at most", "rough") if kind in kinds), "")
    single = price.cost(estimate.tokens, batch=False)
    if price.batch is None:
        return [f"{prefix}{dollars(single)} API (no batch rate is known)"]
    note = "" if price.batch == standard else f" ({dollars(single)} as single calls)"
    return [f"{prefix}{dollars(price.cost(estimate.tokens, batch=True))} API{note}"]


def _elsewhere(estimate: Estimate) -> list[str]:
    return [
        f"(same job on {one.model} batch: {dollars(one.batch)})"
        for one in estimate.compared
        if len(estimate.compared) == 1 and one.batch is not None
    ]


def _or(value: Decimal | None) -> str:
    return "-" if value is None else dollars(value)


def _number(value: Decimal | None) -> float | None:
    return None if value is None else round(float(value), 6)


def _figure(figure: Figure) -> dict[str, Any]:
    return {
        "value": round(figure.value, 2),
        "kind": figure.kind,
        "error": None if figure.error is None else round(figure.error, 4),
        "source": figure.source,
    }
