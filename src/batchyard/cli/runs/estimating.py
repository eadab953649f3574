"""What a run will take: from a sample that is really asked, or from the prompts alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchyard.cli.runs.place import Place
from batchyard.pipeline.row import Fields, Outcome

if TYPE_CHECKING:
    from batchyard.pipeline.estimate.estimate import Estimate
    from batchyard.pipeline.estimate.prices.prices import Prices
    from batchyard.pipeline.estimate.sample import Judge, Question, Sample
    from batchyard.pipeline.source import Source

FEW = 5
"""Rows whose prompts are counted where none is asked."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be estimated: `rows` of a source, asked by `question` of `model`."""

    source: Source
    rows: int
    question: Question
    model: str
    compared: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sampled:
    """A sample with the rows it was about."""

    sample: Sample
    rows: Sequence[tuple[int, Fields]]


async def sampled(
    at: Place, job: Job, many: int, *, judge: Judge, keep: Callable[[Outcome], None]
) -> Sampled:
    """Ask `many` rows at even distances, each by a live call whose answer is kept."""
    from batchyard.pipeline.estimate.sample import picked, spread, take_sample

    rows = picked(job.source.rows(), spread(job.rows, many))
    sample = await take_sample(at.client, job.question, rows, judge=judge, keep=keep)
    return Sampled(sample, rows)


async def estimated(at: Place, job: Job, found: Sampled | None, prices: Prices) -> Estimate:
    """The estimate from a sample, or, where nothing was asked or answered, from a few prompts."""
    from dataclasses import replace

    from batchyard.pipeline.estimate import estimate
    from batchyard.pipeline.estimate.ground import ground
    from batchyard.pipeline.estimate.sample import picked, spread
    from batchyard.pipeline.estimate.tokens import input_figure, output_bound

    where = ground(at.readiness, job.model)
    answer = None
    if found is not None:
        answer = estimate.from_sample(
            found.sample, job.rows, job.model, ground=where, prices=prices
        )
    if answer is None:
        calls = [
            job.question.params_of(fields, position=position)
            for position, fields in picked(job.source.rows(), spread(job.rows, FEW))
        ]
        figures = await input_figure(at.client, calls, job.rows), output_bound(calls)
        answer = estimate.without_sample(job.rows, job.model, figures, ground=where, prices=prices)
        answer = replace(answer, trouble=found.sample.trouble if found else None)
    models = job.compared or ((estimate.ELSEWHERE,) if where.own else ())
    return estimate.compared(answer, models, prices)
