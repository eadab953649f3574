"""A figure of an estimate: a value per row, how far it may be off, and where it comes from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["measured", "rough", "at most"]
"""`rough` has no error that could be told; `at most` is a bound, not an expectation."""


@dataclass(frozen=True, slots=True)
class Figure:
    """`error` is relative, 0.25 for ±25 %, at 19 of 20; None where it is not known."""

    value: float
    source: str
    kind: Kind = "measured"
    error: float | None = None


_T95 = (
    12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13,
    2.12, 2.11, 2.10, 2.09, 2.09, 2.08, 2.07, 2.07, 2.06, 2.06, 2.06, 2.05, 2.05, 2.05,
)  # fmt: skip
"""Student's t, two-sided 95 %, by degrees of freedom from 1 on."""


def mean(values: Sequence[float]) -> float:
    """The mean of at least one value."""
    return math.fsum(values) / len(values)


def relative_error(values: Sequence[float], population: int) -> float | None:
    """How far the mean of `values` may be from that of the whole `population`, at 95 %.

    None for a single value of many, which says nothing about the others; 0 when they are all.
    """
    count = len(values)
    if count >= population:
        return 0.0
    middle = mean(values)
    if count < 2 or middle == 0:
        return None
    variance = math.fsum((value - middle) ** 2 for value in values) / (count - 1)
    rest = (population - count) / (population - 1)
    t = _T95[count - 2] if count - 2 < len(_T95) else 1.96
    return t * math.sqrt(variance / count * rest) / middle
