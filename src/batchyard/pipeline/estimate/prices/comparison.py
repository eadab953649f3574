"""The same job on other models: what it costs as single calls and what as batches."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from batchyard.pipeline.estimate.prices.price import Tokens
from batchyard.pipeline.estimate.prices.prices import Prices

MODELS = ("claude-haiku-4-5", "claude-sonnet-4-5", "claude-opus-4-5", "gpt-5-mini", "gpt-5")
"""Compared where the user names no others: hosted models that people choose between."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a job costs on `model`, in dollars.

    Both are None where no price is known, `batch` alone where the lists have no batch rate.
    """

    model: str
    standard: Decimal | None
    batch: Decimal | None
    source: str


def compare(
    models: Iterable[str], rows: int, input_tokens: float, output_tokens: float, prices: Prices
) -> list[Comparison]:
    """The cost of `rows` requests with so many tokens each, one line per model, in their order."""
    tokens = Tokens(round(rows * input_tokens), round(rows * output_tokens), requests=rows)
    return [_compared(model, tokens, prices) for model in models]


def _compared(model: str, tokens: Tokens, prices: Prices) -> Comparison:
    price = prices.of(model)
    if price is None:
        return Comparison(model, None, None, "no price known")
    if price.standard is None:
        return Comparison(model, None, None, f"{price.source}: by the hour")
    batch = None if price.batch is None else price.cost(tokens, batch=True)
    return Comparison(model, price.cost(tokens, batch=False), batch, price.source)
