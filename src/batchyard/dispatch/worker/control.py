"""The control question: so small that no sound engine fails it, and so not the request's fault.

An engine that fails whatever it is asked looks like an engine that is asked poison only. Requests
that succeed beside those that fail tell the two apart; where there are none, this question does. It
costs one token, and is asked only after failures that nothing else explains.
"""

from __future__ import annotations

import msgspec

from batchyard.dispatch.worker.attempt import bugs_told
from batchyard.dispatch.worker.hand import Hand
from batchyard.dispatch.worker.health import Health
from batchyard.engine import Ask, Engine
from batchyard.errors import EngineError, Rejected, Unavailable


def question(model: str) -> Ask:
    """What is asked."""
    messages = [{"role": "user", "content": "Hi"}]
    params = {"model": model, "max_tokens": 1, "messages": messages}
    return Ask(msgspec.json.encode(params), model, trace="control")


class Control:
    """Asks one engine the control question, one at a time, and tells `health` what came of it."""

    def __init__(self, engine: Engine, hand: Hand, health: Health) -> None:
        self._engine = engine
        self._hand = hand
        self._health = health
        self._asking = False

    async def ask(self) -> bool:
        """Ask for a model of a shard in hand, each in turn; False when there is no shard."""
        models = self._hand.models
        if not models:
            return False
        if self._asking:
            await self._health.clock.sleep(0.5)
            return True
        self._asking = True
        try:
            await self._ask(models[self._health.failed_probes % len(models)])
        finally:
            self._asking = False
        return True

    async def _ask(self, model: str) -> None:
        try:
            with bugs_told(self._engine):
                await self._engine.create_message(question(model))
        except Rejected:
            self._health.answered(control=True)
        except EngineError as error:
            self._failed(error)
        else:
            self._health.answered(control=True)

    def _failed(self, error: EngineError) -> None:
        unreachable = isinstance(error, Unavailable) and error.status is None
        self._health.failed_probe(error, unreachable=unreachable)
