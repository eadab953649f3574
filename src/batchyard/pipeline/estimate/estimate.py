"""An estimate: tokens, time and cost of a whole run, each figure with the source it comes from."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from batchyard.pipeline.estimate.figure import Figure, mean, relative_error
from batchyard.pipeline.estimate.ground import Ground
from batchyard.pipeline.estimate.prices.comparison import Comparison, compare
from batchyard.pipeline.estimate.prices.price import Price, Tokens
from batchyard.pipeline.estimate.prices.prices import Prices
from batchyard.pipeline.estimate.sample import Sample

ELSEWHERE = "claude-haiku-4-5"
"""The hosted model that a run on one's own machine is compared with."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Rows per second: as measured, and at best, when the server has all in flight that it takes.

    `together` is how many rows were in flight while it was measured, `at_once` what the server
    takes, None where it does not say.
    """

    measured: float
    best: float
    together: int
    at_once: int | None


@dataclass(frozen=True, slots=True)
class Estimate:
    """What `rows` will take. `input` and `output` are tokens per row.

    `pace` is None where the time is not known: without a sample, or at a server whose batches wait
    for their turn. `price` is None where no price is known. `sampled` is how many rows have run.
    """

    rows: int
    model: str
    input: Figure
    output: Figure
    ground: Ground
    price: Price | None
    pace: Pace | None = None
    sampled: int = 0
    trouble: str | None = None
    compared: tuple[Comparison, ...] = ()

    @property
    def tokens(self) -> Tokens:
        """Tokens of all rows."""
        return Tokens(
            round(self.rows * self.input.value),
            round(self.rows * self.output.value),
            requests=self.rows,
        )

    @property
    def error(self) -> float | None:
        """The larger of both relative errors, None where one is not known."""
        if self.input.error is None or self.output.error is None:
            return None
        return max(self.input.error, self.output.error)

    @property
    def seconds(self) -> tuple[float, float] | None:
        """Shortest and longest time, None where it is not known."""
        if self.pace is None:
            return None
        return self.rows / self.pace.best, self.rows / self.pace.measured

    @property
    def machine_hours(self) -> tuple[float, float] | None:
        """Hours of one's own machines, of all their GPUs together; None where there are none."""
        if self.seconds is None or not self._by_the_hour:
            return None
        gpus = self.price.gpus if self.price else 1
        return self.seconds[0] / 3600 * gpus, self.seconds[1] / 3600 * gpus

    def cost(self, *, batch: bool = True) -> Decimal | None:
        """Dollars at the expected tokens and the longest time; None where it is not known."""
        if self.price is None:
            return None
        tokens = self.price.cost(self.tokens, batch=batch)
        if self.price.gpu_hour is None:
            return tokens
        return None if self.seconds is None else tokens + self.price.machine(self.seconds[1] / 3600)

    @property
    def _by_the_hour(self) -> bool:
        return self.ground.own or (self.price is not None and self.price.gpu_hour is not None)


def from_sample(
    sample: Sample, rows: int, model: str, *, ground: Ground, prices: Prices
) -> Estimate | None:
    """What the answered rows of a sample say about all `rows`; None when none was answered.

    The price is that of the model which answered: a name may stand for another one.
    """
    answered = sample.answered
    if not answered:
        return None
    source = f"from the {len(answered)}-row sample"
    inputs = [one.input_tokens for one in answered]
    outputs = [one.output_tokens for one in answered]
    served = answered[0].model or model
    return Estimate(
        rows=rows,
        model=model,
        input=Figure(mean(inputs), source, error=relative_error(inputs, rows)),
        output=Figure(mean(outputs), source, error=relative_error(outputs, rows)),
        ground=ground,
        price=prices.own(model) or ground.price(served, prices) or ground.price(model, prices),
        pace=pace(sample, ground),
        sampled=len(answered),
        trouble=sample.trouble,
    )


def without_sample(
    rows: int,
    model: str,
    figures: tuple[Figure, Figure],
    *,
    ground: Ground,
    prices: Prices,
    trouble: str | None = None,
) -> Estimate:
    """What prompts alone say; `figures` are input and output tokens per row, `trouble` is why
    there is no sample where one was wanted."""
    price = ground.price(model, prices)
    return Estimate(rows, model, figures[0], figures[1], ground, price, trouble=trouble)


def pace(sample: Sample, ground: Ground) -> Pace | None:
    """How fast rows would go, None where batches wait for their turn.

    At best every slot takes as long as a call of the sample did; an engine that is busy with many
    is slower for each, which is why the measured rate stays the other end of the range.
    """
    if not ground.engines or not sample.latencies or sample.seconds <= 0:
        return None
    together = len(sample.latencies)
    measured = together / sample.seconds
    best = measured
    if ground.at_once is not None and ground.at_once > together:
        best = max(measured, ground.at_once / statistics.median(sample.latencies))
    return Pace(measured, best, together, ground.at_once)


def compared(estimate: Estimate, models: Sequence[str], prices: Prices) -> Estimate:
    """The estimate with the same job on `models`."""
    found = compare(models, estimate.rows, estimate.input.value, estimate.output.value, prices)
    return replace(estimate, compared=tuple(found))
