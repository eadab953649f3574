"""What a run will take: from a sample that is really asked, or from the prompts alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchyard.cli.runs.begun import Begun
from batchyard.pipeline.row import Fields

if TYPE_CHECKING:
    from batchyard.pipeline.estimate.estimate import Estimate
    from batchyard.pipeline.estimate.sample import Sample

FEW = 5
"""Rows whose prompts are counted where none is asked."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """A sample with the rows it was about."""

    sample: Sample
    rows: Sequence[tuple[int, Fields]]


async def sampled(begun: Begun, many: int) -> Sampled:
    """Ask `many` of the rows that are left, at even distances, each by a live call; the answers
    are kept in the run."""
    from batchyard.pipeline.estimate.sample import take_sample
    from batchyard.pipeline.run.live import LiveAnswers

    rows = list(_spread(begun, many))
    answers = LiveAnswers(begun.store, begun.task, begun.store.manifest.options.repair)
    sample = await take_sample(
        begun.at.client, begun.task, rows, judge=answers.judge, keep=answers.keep
    )
    return Sampled(sample, rows)


async def estimated(
    begun: Begun, rows: int, found: Sampled | None, compared: Sequence[str]
) -> Estimate:
    """The estimate of `rows` from a sample, or, where nothing was answered, from a few prompts."""
    from dataclasses import replace

    from batchyard.pipeline.estimate import estimate

    answer = None
    if found is not None:
        answer = estimate.from_sample(
            found.sample, rows, begun.model, ground=begun.ground, prices=begun.prices
        )
    if answer is None:
        answer = await _from_prompts(begun, rows)
        answer = replace(answer, trouble=found.sample.trouble if found else None)
    models = compared or ((estimate.ELSEWHERE,) if begun.ground.own else ())
    return estimate.compared(answer, models, begun.prices)


async def _from_prompts(begun: Begun, rows: int) -> Estimate:
    from batchyard.pipeline.estimate import estimate
    from batchyard.pipeline.estimate.tokens import input_figure, output_bound

    few = _spread(begun, FEW)
    calls = [begun.task.params_of(fields, position=position) for position, fields in few]
    figures = await input_figure(begun.at.client, calls, rows), output_bound(calls)
    return estimate.without_sample(
        rows, begun.model, figures, ground=begun.ground, prices=begun.prices
    )


def _spread(begun: Begun, many: int) -> Iterator[tuple[int, Fields]]:
    """Rows that are left, at even distances, with their positions."""
    from batchyard.pipeline.estimate.sample import spread

    numbers = iter(spread(begun.store.totals.waiting, many))
    wanted, chosen = next(numbers, None), set()
    for number, row in enumerate(begun.store.waiting()):
        if wanted is None:
            break
        if number == wanted:
            chosen.add(row.position)
            wanted = next(numbers, None)
    last = max(chosen, default=-1)
    for position, fields in enumerate(begun.source.rows()):
        if position in chosen:
            yield position, fields
        if position >= last:
            return
