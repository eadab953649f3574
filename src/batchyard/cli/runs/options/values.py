"""Values of options as people write them: `500M` tokens, `temperature=0`, a share that may fail."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import click
import msgspec

_AMOUNT = re.compile(r"(\d+(?:[ _]\d{3})*(?:\.\d+)?)\s*([kMG]?)")
_FACTORS = {"": 1, "k": 1_000, "M": 1_000_000, "G": 1_000_000_000}


class Amount(click.ParamType[int]):
    """A whole number from 1 on, perhaps shortened: `20000`, `1.5M`, `200k`."""

    name = "N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = _AMOUNT.fullmatch(str(value).strip())
        if found is None:
            self.fail(f"{value!r} is not a number like 500000, 500k or 1.5M", param, ctx)
        amount = float(re.sub("[ _]", "", found[1])) * _FACTORS[found[2]]
        if amount < 1 or amount != int(amount):
            self.fail(f"{value!r} is not a whole number from 1 on", param, ctx)
        return int(amount)


class Positive(click.ParamType[float]):
    """An amount of money or time above 0."""

    name = "X"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        try:
            amount = float(str(value).strip().removeprefix("$"))
        except ValueError:
            amount = math.nan
        if not 0 < amount < math.inf:
            self.fail(f"{value!r} is not a number above 0", param, ctx)
        return amount


class Parameter(click.ParamType[tuple[str, object]]):
    """`name=value`, the value JSON where it is JSON and else the text itself."""

    name = "NAME=VALUE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, object]:
        name, equals, text = str(value).partition("=")
        if not equals or not name.strip():
            self.fail(f"{value!r} should look like temperature=0", param, ctx)
        try:
            return name.strip(), msgspec.json.decode(text)
        except msgspec.DecodeError:
            return name.strip(), text


class Turn(click.ParamType[tuple[str, str]]):
    """`role=template`: one turn of a conversation."""

    name = "ROLE=TEMPLATE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        role, equals, template = str(value).partition("=")
        if not equals or role not in ("user", "assistant"):
            self.fail(f"{value!r} should begin with user= or assistant=", param, ctx)
        return role, template


@dataclass(frozen=True, slots=True)
class Tolerance:
    """The largest share of failed rows that still is a success; None for any share."""

    share: float | None = 0.0

    def forgives(self, failed: int, total: int) -> bool:
        """Whether `failed` of `total` rows are few enough."""
        return self.share is None or failed <= self.share * total


class FailOn(click.ParamType[Tolerance]):
    """`any`, `never`, or a share of the rows: `5%`, `0.05`."""

    name = "any|RATE|never"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Tolerance:
        if isinstance(value, Tolerance):
            return value
        text = str(value).strip()
        if text in ("any", "never"):
            return Tolerance(0.0 if text == "any" else None)
        try:
            share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            share = math.nan
        if not 0 <= share < 1:
            self.fail(f"{value!r} is neither any, never, nor a share like 5% or 0.05", param, ctx)
        return Tolerance(share)
