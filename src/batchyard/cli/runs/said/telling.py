"""What a run tells as it goes: lines for a person, or one event each for a program."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

import click

from batchyard.cli import failures, talk
from batchyard.cli.runs import finding
from batchyard.cli.runs.begun import Begun
from batchyard.cli.runs.estimating import Sampled
from batchyard.cli.runs.prepared import Prepared, rendered
from batchyard.cli.runs.said import words
from batchyard.cli.runs.said.words import Group

if TYPE_CHECKING:
    from batchyard.pipeline.estimate.estimate import Estimate

INPUT_SHOWN = 2
"""Columns of the input beside the answers of a sample; more leave no room to read any."""


class Telling:
    """The voice of a run: words on stderr, or with `as_json` events on stdout."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self._marks = talk.marks()

    def _say(self, *lines: str) -> None:
        if not self.as_json:
            for line in lines:
                talk.say(line)

    def _event(self, name: str, /, **fields: object) -> None:
        if self.as_json:
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
            if self.as_json:
                talk.event("rendered", row=position + 1, text=text)
            else:
                talk.data(words.ruled(f"row {position + 1}", talk.width()))
                talk.data(text)
        self._say("", f"nothing was sent; {words.rows(found.rows)} would be")

    def sample(self, begun: Begun, found: Sampled) -> None:
        """What came of the sample, its answers beside what they are about."""
        sample, fields = found.sample, dict(found.rows)
        self._say(words.sampled(sample.valid, sample.asked), "")
        used = begun.task.columns_used
        names = [name for name in begun.source.columns if name in used][:INPUT_SHOWN]
        answered = [one for one in sample.outcomes if one.answer is not None]
        table = [{**fields[one.position], **(one.answer or {})} for one in answered]
        if table:
            names += begun.labelling.answer
            self._say(*words.table(names, table, talk.width(), self._marks), "")
        for reason in dict.fromkeys(one.error for one in sample.outcomes if one.error):
            self._say(*words.wrapped("  failed: ", reason, talk.width()), "")
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
        return click.confirm(words.ask(rows), default=True, err=True, prompt_suffix=" ")

    def declined(self) -> None:
        """The answer was no."""
        self._say("nothing more was sent; the answers of the sample are kept")

    def resumed(self, run: str, standing: tuple[int, int, int], *, changed: bool) -> None:
        """Where an earlier session left the run: rows done, failed, left."""
        done, failed, left = standing
        self._say(words.resumed(run, standing, self._marks, changed=changed))
        self._event("resumed", run=run, done=done, failed=failed, left=left, changed=changed)

    def note(self, text: str) -> None:
        """A remark beside everything else."""
        self._say(*([f"note: {text}"] if text else []))

    def wrote(self, begun: Begun, rows: int, groups: Sequence[Group]) -> None:
        """The file that is there now, and what failed, with the commands that ask it again."""
        path, labelling = begun.store.manifest.output.path, begun.labelling
        assert path is not None
        meta = [] if labelling.prefix is None else [f"{labelling.prefix}status", "…"]
        added = [*labelling.answer, *meta]
        self._say("", *words.wrote(finding.shown(path), rows, added, talk.width()))
        run = finding.spoken(begun.store.path, newest=True)
        listed = words.failed(
            groups, run=run, max_tokens=begun.task.max_tokens or 0, width=talk.width()
        )
        self._say(*listed)

    def done(self, begun: Begun, groups: Sequence[Group], code: int, cost: Decimal | None) -> None:
        """The last event."""
        store, totals = begun.store, begun.store.totals
        fields = {
            "run": store.run,
            "folder": str(store.path),
            "output": finding.shown(store.manifest.output.path or "") if totals.left == 0 else None,
            "rows": totals.rows,
            "counts": {
                "succeeded": totals.succeeded,
                "errored": totals.errored,
                "canceled": totals.canceled,
                "expired": totals.expired,
                "left": totals.left,
            },
            "failed": [{"kind": group.kind, "rows": group.many} for group in groups],
            "usage": {
                "input_tokens": totals.input_tokens,
                "output_tokens": totals.output_tokens,
            },
            "cost_usd": None if cost is None else float(cost),
            "interrupted": code == failures.INTERRUPTED,
            "exit_code": code,
        }
        self._event("done", **fields)
