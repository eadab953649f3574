"""How an engine is doing: up, waited for, or paused by the operator's mistake; and who looks.

A circuit breaker (Nygard, "Release It!") with one difference: open never fails a request, it only
makes requests wait, since a batch has a day and no reason to fail fast.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

from batchyard.clock import Clock, Microseconds
from batchyard.dispatch.fleet import WorkerState
from batchyard.dispatch.worker.attempt import bugs_told
from batchyard.dispatch.worker.retry import Hold, Proofs, Tries, backoff, judge
from batchyard.engine import Engine, Model
from batchyard.errors import EngineError
from batchyard.telemetry import logger

log = logger(__name__)

PROBE_CAP_SECONDS = 30.0
MODELS_REFRESH_SECONDS = 30.0
FAILURES_IN_A_ROW_MAX = 8
"""Failures with no success between them after which the engine is at fault, not a request."""


@dataclass(slots=True)
class Health:
    """State of one engine. While it is not up, one probe at a time may go out, ever less often.

    `unreachable` tells an engine that gave no answer at all from one that answers, but badly.
    """

    clock: Clock
    state: WorkerState = "starting"
    reason: str = "has not answered yet"
    since: Microseconds = 0
    unreachable: bool = True
    answers: int = 0
    controls: int = 0
    failures_in_a_row: int = 0
    failed_probes: int = 0
    _probe_at: float = 0.0

    @property
    def up(self) -> bool:
        return self.state == "up"

    @property
    def proofs(self) -> Proofs:
        """What speaks for the engine so far."""
        return Proofs(self.answers, self.controls)

    def answered(self, *, control: bool = False) -> None:
        """The engine answered a request, or the control question."""
        if control:
            self.controls += 1
        else:
            self.answers += 1
        self.failures_in_a_row = self.failed_probes = 0
        self.reached()

    def reached(self) -> None:
        """The engine is there. It may list its models and yet fail every question, so one that was
        failing has to answer one first."""
        self.unreachable = False
        if not self.up and self.failures_in_a_row == 0:
            self.state, self.reason, self.since = "up", "", self.clock.now()

    def hold(self, state: WorkerState, reason: str, jitter: float, *, unreachable: bool) -> None:
        """The engine is not to be asked for a while; `reason` says why, in its own words.

        Requests that were under way together fail together; only the first of them counts.
        """
        self.reason, self.unreachable = reason, unreachable
        if state != self.state:
            self.state, self.since = state, self.clock.now()
        elif self.seconds_to_probe() > 0:
            return
        self.failed_probes += 1
        wait = min(PROBE_CAP_SECONDS, backoff(self.failed_probes, 0.5 + jitter / 2))
        self._probe_at = self.clock.monotonic() + wait

    def failed_probe(self, error: EngineError, *, unreachable: bool) -> None:
        """Whoever looked after the engine got `error`."""
        jitter = random.random()  # noqa: S311 (jitter, not secrecy)
        match judge(error, Tries(), jitter):
            case Hold(state="paused", reason=reason):
                self.hold("paused", reason, jitter, unreachable=False)
            case _:
                self.hold("waiting", error.message, jitter, unreachable=unreachable)

    def failed(self, reason: str, jitter: float) -> None:
        """A failure that may be the request's own; many without a success are the engine's."""
        self.failures_in_a_row += 1
        if not self.up or self.failures_in_a_row >= FAILURES_IN_A_ROW_MAX:
            self.hold("waiting", reason, jitter, unreachable=False)

    def seconds_to_probe(self) -> float:
        """How long until somebody should look whether the engine is well again."""
        return max(0.0, self._probe_at - self.clock.monotonic())


class Watch:
    """Keeps looking at one engine: its models now and then, signs of life while it is down.

    An engine that cannot be reached is probed with the cheapest call there is, asking its models;
    one that answers but fails everything, or refuses our key, is asked the control question, since
    its models may well be listed all the time.
    """

    def __init__(
        self,
        name: str,
        engine: Engine,
        health: Health,
        *,
        learn: Callable[[str, list[Model]], None],
        control: Callable[[], bool],
        on_change: Callable[[], None],
    ) -> None:
        self._name = name
        self._engine = engine
        self._health = health
        self._clock = health.clock
        self._learn = learn
        self._control = control
        self._on_change = on_change
        self._told = False
        self._looks = 0
        self._saw = False  # whether the latest of them was answered
        self._looking = asyncio.Lock()

    async def run(self) -> None:
        """Refresh what the engine serves, for ever."""
        while True:
            if self._health.up or not self._told:
                await self._look()
            wait = MODELS_REFRESH_SECONDS if self._told else self._health.seconds_to_probe()
            await self._clock.sleep(max(0.05, wait))

    async def recover(self) -> None:
        """Look until the engine is up again."""
        while not self._health.up:
            await self._clock.sleep(max(0.05, self._health.seconds_to_probe()))
            if self._health.up or self._health.seconds_to_probe() > 0:
                continue
            if self._health.unreachable or not self._told:
                await self._look()
            elif self._control():
                await self._clock.sleep(0.5)
            else:
                self._health.failures_in_a_row = 0  # those who failed are gone
                await self._look()
        self._on_change()

    async def look_again(self) -> bool:
        """Learn anew what the engine serves; False when it does not say.

        One look that began after the call serves everybody who has called meanwhile.
        """
        before = self._looks
        async with self._looking:
            if self._looks == before:
                await self._look()
            return self._saw

    async def _look(self) -> None:
        self._looks += 1
        self._saw = False
        was_up = self._health.up
        try:
            with bugs_told(self._engine):
                models = list(await self._engine.models())
        except EngineError as error:
            if not was_up:
                self._health.failed_probe(error, unreachable=True)
                self._on_change()
            return
        self._told = self._saw = True
        self._learn(self._name, models)
        self._health.reached()
        if not was_up and self._health.up:
            log.info("engine_up", engine=self._name, models=[model.id for model in models])
        self._on_change()
