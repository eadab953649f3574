"""The engine of a simulated server: by one seed it is slow, down, overloaded, poisoned or silent.

It writes down every call it got and what became of it, for the audit.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from batchyard.clock import ManualClock
from batchyard.engine import Ask, Model, Reply, Usage
from batchyard.errors import (
    EngineError,
    Misconfigured,
    Overloaded,
    Rejected,
    Spent,
    Unavailable,
)

HICCUPS = (
    Unavailable("hiccup", status=500),
    Unavailable("proxy", status=502),
    Unavailable("restarting", status=503),
    Unavailable("come back later", status=503, retry_after=3.0),
    Overloaded("slow down", status=429, retry_after=2.0),
    Overloaded("overloaded", status=529),
    Spent("connection reset"),
    Spent("timed out", timed_out=True),
)
OUTAGES = (
    Unavailable("connection refused"),
    Misconfigured("invalid key", status=401),
    Unavailable("all broken", status=500),
)
SILENCE_SECONDS = 40.0

Fate = Literal["in flight", "answered", "failed", "cut"]


@dataclass(slots=True)
class Call:
    """One question to an engine, in monotonic time."""

    text: str
    engine: int
    life: int  # of the server that asked
    began: float
    ended: float = float("inf")
    fate: Fate = "in flight"
    wait: float = 0.0  # asked for by the engine, before the next try
    outage: bool = False  # it failed whatever it was asked


class _Params(msgspec.Struct):
    model: str
    messages: list[dict[str, Any]]


_params = msgspec.json.Decoder(_Params)


class Fortune:
    """What engines do by this seed, until it is `over`. Texts that end in 7 are refused, and by
    some seeds those that end in 3 fail for ever."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.rate = chance.choice([0.0, 0.0, 0.05, 0.25])
        self.kinds = chance.sample(HICCUPS, chance.choice([1, 2, len(HICCUPS)]))
        self.poisoned = chance.random() < 0.08
        self.silence = chance.choice([0.0, 0.0, 0.02])
        self.over = False

    def is_refused(self, text: str) -> bool:
        return text.endswith("7")

    def is_poison(self, text: str) -> bool:
        return self.poisoned and text.endswith("3")

    def is_silent(self) -> bool:
        return not self.over and self.chance.random() < self.silence

    def error(self, text: str) -> EngineError | None:
        if self.is_refused(text):
            return Rejected("no sevens", type="invalid_request_error", status=400)
        if self.is_poison(text):
            return Unavailable("no threes", status=500)
        if self.over or self.chance.random() >= self.rate:
            return None
        return self.chance.choice(self.kinds)


class SeededEngine:
    """Answers `echo: <text>`, when it answers."""

    def __init__(
        self, clock: ManualClock, fortune: Fortune, served: list[str], calls: list[Call]
    ) -> None:
        self.clock, self.fortune, self.calls = clock, fortune, calls
        self.served = [Model(name) for name in served]
        self.latency = 0.3
        self.room = 1000  # calls at once before it asks for less
        self.down: EngineError | None = None
        self.life = 0
        self.in_flight = self.controls = 0
        self.strays: list[str] = []

    async def create_message(self, ask: Ask) -> Reply:
        params = _params.decode(ask.params)
        text = params.messages[0]["content"]
        call = Call(text, id(self), self.life, self.clock.monotonic())
        if ask.trace == "control":
            self.controls += 1
        else:
            self.calls.append(call)
            if not any(params.model == model.id for model in self.served):
                self.strays.append(f"{text} came for {params.model}")
        try:
            reply = await self._answer(call, params.model)
        except EngineError as error:
            call.fate, call.wait = "failed", getattr(error, "retry_after", None) or 0.0
            call.outage = error is self.down
            raise
        except BaseException:
            call.fate = "cut"
            raise
        else:
            call.fate = "answered"
            return reply
        finally:
            call.ended = self.clock.monotonic()

    async def _answer(self, call: Call, model: str) -> Reply:
        if self.down is not None:
            raise self.down
        if self.in_flight >= self.room:
            raise Overloaded("full", status=429)
        self.in_flight += 1
        try:
            if self.fortune.is_silent():
                await self.clock.sleep(SILENCE_SECONDS)
                raise Spent("no answer", timed_out=True)
            await self.clock.sleep(self.latency * (0.5 + self.fortune.chance.random()))
        finally:
            self.in_flight -= 1
        if error := (self.down or self.fortune.error(call.text)):
            raise error
        text = msgspec.json.encode(f"echo: {call.text}").decode()
        return Reply(_MESSAGE % (model.encode(), text.encode()), Usage(3, 2))

    async def forward(self, operation: Any, ask: Ask) -> Any:
        raise AssertionError("dispatch never forwards")

    async def models(self) -> list[Model]:
        if self.down is not None and getattr(self.down, "status", None) != 500:
            raise self.down
        return self.served

    async def close(self) -> None:
        pass


_MESSAGE = (
    b'{"id":"msg_1","type":"message","role":"assistant","model":"%b","content":[{"type":"text",'
    b'"text":%b}],"stop_reason":"end_turn","stop_sequence":null,'
    b'"usage":{"input_tokens":3,"output_tokens":2}}'
)
