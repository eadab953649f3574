"""Dollars, tokens, hours and rates as people read them, no more exact than they are."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Decimal


def grouped(value: float) -> str:
    """`12 345`."""
    return f"{round(value):,}".replace(",", " ")


def dollars(value: Decimal) -> str:
    """`$0`, `$0.0042`, `$0.68`, `$3.45`, `$1 240`: cents, fewer when small, none when large."""
    if value == 0:
        return "$0"
    cents = value.quantize(Decimal("0.01"), ROUND_HALF_UP)
    if cents >= 1000:
        return f"${grouped(float(value))}"
    if cents >= Decimal("0.1"):
        return f"${cents}"
    digits = min(6, 1 - value.adjusted())
    shown = value.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
    return f"${shown:f}" if shown else "less than $0.000001"


def many(value: float) -> str:
    """`812`, `41 k`, `2.9 M`, `1.2 G`: tokens to two or three digits."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size * 0.9995 or (unit == " M" and value >= 1e5):
            scaled = value / size
            return f"{scaled:.1f}{unit}" if scaled < 99.95 else f"{scaled:.0f}{unit}"
    return f"{value:.0f}"


def small(value: float) -> str:
    """`0.29`, `8.1`, `33`: two digits, for rates and hours."""
    if value <= 0:
        return "0"
    digits = max(0, 1 - math.floor(math.log10(value)))
    return f"{value:.{min(digits, 4)}f}" if value < 10 else grouped(value)


def span(low: str, high: str, unit: str = "") -> str:
    """`8.1-33 rows/s`, or one value where both read the same."""
    return f"{low if low == high else f'{low}-{high}'}{unit}"


def duration(seconds: float) -> str:
    """`40 s`, `41 min`, `2 h 5 min`, `4 d 6 h`."""
    left = max(1, round(seconds))
    if left < 90:
        return f"{left} s"
    minutes = round(left / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(round(left / 3600), 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def durations(low: float, high: float) -> str:
    """`10-41 min`: the unit once where both have it."""
    short, long = duration(low), duration(high)
    first, second = short.split(" "), long.split(" ")
    if short != long and len(first) == len(second) == 2 and first[1] == second[1]:
        return f"{first[0]}-{long}"
    return span(short, long)


def percent(error: float) -> str:
    """`±25 %`, rounded up: an error is not made smaller than it is."""
    return f"±{max(1, math.ceil(error * 100 - 1e-9))} %"
