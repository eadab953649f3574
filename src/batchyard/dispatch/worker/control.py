"""The control question: so small that no sound engine fails it, and so not the request's fault.

An engine that fails whatever it is asked looks like an engine that is asked poison only. Requests
that succeed beside those that fail tell the two apart; where there are none, this question does. It
costs one token, and is asked only after failures that nothing else explains.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from batchyard.dispatch.worker.attempt import bugs_told
from batchyard.dispatch.worker.hand import Hand
from batchyard.dispatch.worker.health import Health
from batchyard.engine import Ask, Engine
from batchyard.errors import EngineError, Rejected, Unavailable
from batchyard.tasks import TaskSet

PATIENCE_SECONDS = 60.0
"""How long after a question that has not been answered the next one is asked."""


def question(model: str) -> Ask:
    """What is asked."""
    messages = [{"role": "user", "content": "Hi"}]
    params = {"model": model, "max_tokens": 1, "messages": messages}
    return Ask(msgspec.json.encode(params), model, trace="control")


class Control:
    """Asks one engine the control question and tells `health` what came of it.

    `on_trouble` is called when it failed.
    """

    def __init__(
        self,
        engine: Engine,
        hand: Hand,
        health: Health,
        tasks: TaskSet,
        on_trouble: Callable[[], None],
    ) -> None:
        self._engine = engine
        self._hand = hand
        self._health = health
        self._tasks = tasks
        self._on_trouble = on_trouble
        self._open = 0
        self._asked_at = 0.0

    def ask(self) -> bool:
        """Have it asked for a model of a shard in hand, each in turn; False when there is none.

        A question that has no answer yet is waited for; but not for long, or one that hangs would
        keep the engine from being found well again.
        """
        models = self._hand.models
        now = self._health.clock.monotonic()
        if models and (self._open == 0 or now >= self._asked_at + PATIENCE_SECONDS):
            self._open += 1
            self._asked_at = now
            self._tasks.spawn(self._ask(models[self._health.failed_probes % len(models)]))
        return bool(models)

    async def _ask(self, model: str) -> None:
        before = self._health.proofs
        try:
            with bugs_told(self._engine):
                await self._engine.create_message(question(model))
        except Rejected:
            self._health.answered(control=True)
        except EngineError as error:
            if self._health.proofs == before:  # otherwise it has done well since
                unreachable = isinstance(error, Unavailable) and error.status is None
                self._health.failed_probe(error, unreachable=unreachable)
                self._on_trouble()
        else:
            self._health.answered(control=True)
        finally:
            self._open -= 1
