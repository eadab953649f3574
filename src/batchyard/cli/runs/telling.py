"""What a run tells as it goes: lines for a person, or one event each for a program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from batchyard.cli import talk
from batchyard.cli.runs import words
from batchyard.cli.runs.prepared import Prepared, rendered
from batchyard.cli.runs.words import Group

if TYPE_CHECKING:
    from batchyard.pipeline.estimate.estimate import Estimate
    from batchyard.pipeline.estimate.sample import Sample
    from batchyard.pipeline.row import Fields


class Telling:
    """The voice of a run: words on stderr, or with `as_json` events on stdout."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._marks = talk.marks()

    def _say(self, *lines: str) -> None:
        if not self._as_json:
            for line in lines:
                talk.say(line)

    def _event(self, name: str, /, **fields: object) -> None:
        if self._as_json:
            talk.event(name, **fields)

    def input(self, found: Prepared) -> None:
        """The rows and what is asked of them."""
        columns, task = found.source.columns, found.task
        self._say(words.header(found.source.name, found.rows, columns, self._marks))
        if columns:
            schema = task.answer_columns if task.schema else None
            self._say(words.question(task.columns_used, columns, schema, self._marks))
        self._event(
            "input",
            name=found.source.name,
            format=found.source.format,
            rows=found.rows,
            columns=columns,
            columns_used=sorted(task.columns_used),
            answer_columns=found.labelling.answer,
            output=found.output,
        )

    def dry(self, found: Prepared) -> None:
        """A few rows as they would be sent: they were asked for, so they are data."""
        for position, text in rendered(found):
            if self._as_json:
                talk.event("rendered", row=position + 1, text=text)
            else:
                talk.data(words.ruled(f"row {position + 1}", talk.width()))
                talk.data(text)
        self._say("", f"nothing was sent; {words.rows(found.rows)} would be")

    def sample(self, found: Prepared, sample: Sample, rows: Sequence[tuple[int, Fields]]) -> None:
        """What came of the sample, its answers beside what they are about."""
        self._say(words.sampled(sample.valid, sample.asked), "")
        fields = dict(rows)
        used = found.task.columns_used
        names = [name for name in found.source.columns if name in used]
        names = [*names[:2], *found.labelling.answer]
        table = [
            {**fields.get(one.position, {}), **(one.answer or {"": None})}
            for one in sample.outcomes
            if one.answer
        ]
        if table:
            self._say(*words.table(names, table, talk.width(), self._marks), "")
        for reason in dict.fromkeys(one.error for one in sample.outcomes if one.error):
            self._say(f"  failed: {reason}", "")
        self._event(
            "sample",
            asked=sample.asked,
            valid=sample.valid,
            rows=[one.position + 1 for one in sample.outcomes],
            trouble=sample.trouble,
        )

    def estimate(self, estimate: Estimate) -> None:
        """Tokens, time, cost, and where each figure comes from."""
        from batchyard.pipeline.estimate import text

        if estimate.trouble:
            self._say(words.labelled("no sample", estimate.trouble))
        self._say(*text.lines(estimate, talk.width()), "")
        self._event("estimate", **text.as_json(estimate))

    def agreed(self, rows: int) -> bool:
        """The answer to the only question there is; asked on a terminal alone."""
        return click.confirm(words.ask(rows), default=True, err=True)

    def failures(self, groups: Sequence[Group], *, run: str, max_tokens: int) -> None:
        """Failed rows by kind, each with the command that asks them again."""
        self._say(*words.failed(groups, run=run, max_tokens=max_tokens, width=talk.width()))
