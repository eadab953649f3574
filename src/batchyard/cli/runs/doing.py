"""The way from a file to a labelled file: prepared, estimated, agreed to, run, written."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from batchyard.cli import extras, failures
from batchyard.cli.runs import finding, stored
from batchyard.cli.runs.begun import KEPT, Begun, begun, discarded_if_empty, kept
from batchyard.cli.runs.estimating import estimated, sampled
from batchyard.cli.runs.going import carried_out, concluded
from batchyard.cli.runs.interrupts import Stops
from batchyard.cli.runs.options.asked import Asked
from batchyard.cli.runs.place import place
from batchyard.cli.runs.prepared import Prepared, prepared
from batchyard.cli.runs.said.telling import Telling
from batchyard.errors import CapReached, ConfigurationError

if TYPE_CHECKING:
    from batchyard.pipeline.estimate.estimate import Estimate
    from batchyard.pipeline.run import RunStore


def run(asked: Asked) -> int:
    """`batchyard run`; returns the exit code."""
    return _Doing(asked).do()


def estimate(asked: Asked, compared: Sequence[str]) -> int:
    """`batchyard estimate`; returns the exit code."""
    if compared and not extras.installed("prices"):
        raise ConfigurationError(
            "--compare needs list prices, which are not installed here; nothing was sent",
            fix="pip install 'batchyard[prices]'",
        )
    return _Doing(asked, stops=True, compared=tuple(compared)).do()


class _Doing:
    """One call of `run` or `estimate`."""

    def __init__(
        self, asked: Asked, *, stops: bool = False, compared: tuple[str, ...] = ()
    ) -> None:
        self._asked, self._stops, self._compared = asked, stops, compared
        self._telling = Telling(as_json=asked.manner.as_json)
        self._home = finding.home_of(asked.input.file)

    def do(self) -> int:
        """From the options to the exit code."""
        manner, telling = self._asked.manner, self._telling
        keep_in = None if manner.dry_run else self._home / f"{KEPT}{secrets.token_hex(4)}"
        found = prepared(self._asked, keep_in)
        telling.input(found)
        if manner.dry_run:
            telling.dry(found)
            return failures.OK
        fit = finding.fitting(self._home, found.source, found.task, again=manner.again)
        telling.note(fit.note)
        with ExitStack() as stack:
            if fit.run is None:
                store = stack.enter_context(stored.created(self._home, self._asked, found))
                stack.enter_context(discarded_if_empty(store))
            else:
                store = stack.enter_context(
                    stored.reopened(self._home, fit.run, self._asked, found)
                )
            found = replace(found, source=kept(found.source, store, self._asked.input))
            return concluded(store, lambda stops: self._go(store, found, stops))

    async def _go(self, store: RunStore, found: Prepared, stops: Stops) -> int:
        manner, telling = self._asked.manner, self._telling
        resumed = store.totals.ended > 0
        async with place(self._asked.where, store.path, stops) as at:
            work = begun(store, found.source, found.task, found.labelling, at)
            missing = manner.again == "only-missing"
            await work.prepare(only_missing=missing)
            if resumed:
                telling.resumed(store.run, await work.standing(), changed=missing)
            if store.totals.left and (self._stops or not store.batches()):
                foreseen = await self._foreseen(work)
                if self._stops:
                    telling.done(work, work.groups(), failures.OK, None)
                    return failures.OK
                if not self._agreed(foreseen):
                    return failures.OK
            return await carried_out(work, telling, mode=manner.mode, fail_on=manner.fail_on)

    async def _foreseen(self, work: Begun) -> Estimate:
        """The estimate of the rows that are left, after a sample of them where one is wanted."""
        rows = work.store.totals.left
        found = None
        if self._asked.manner.sample:
            found = await sampled(work, self._asked.manner.sample)
            self._telling.sample(work, found)
        foreseen = await estimated(work, rows, found, self._compared)
        self._telling.estimate(foreseen)
        return foreseen

    def _agreed(self, foreseen: Estimate) -> bool:
        """Whether to go on. Asked on a terminal alone; elsewhere what costs money needs a word."""
        manner, caps = self._asked.manner, self._asked.pace
        if manner.yes:
            return True
        if sys.stdin.isatty() and not manner.as_json:
            agreed = self._telling.agreed(foreseen.rows)
            if not agreed:
                self._telling.declined()
            return agreed
        if foreseen.ground.own or caps.max_cost or caps.max_tokens_total or caps.max_hours:
            return True
        raise CapReached(
            f"{foreseen.rows:,} rows are about to be paid for, and there is no terminal to ask on; "
            "the answers of the sample are kept",
            fix="--yes, or a cap: --max-cost DOLLARS",
        )
