"""The simulator as an engine: slots, time, cache and trouble around a deterministic answer."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, Self

import msgspec

from batchyard import wire
from batchyard.clock import Clock, SystemClock
from batchyard.engine import Ask, Forwarded, Model, Operation, Reply, Usage
from batchyard.engines.forward import refused, whole
from batchyard.engines.simulator.answer import Said, answer
from batchyard.engines.simulator.cache import PrefixCache, tokens
from batchyard.engines.simulator.events import events
from batchyard.engines.simulator.options import Options, parse
from batchyard.engines.simulator.prompt import Prompt
from batchyard.engines.simulator.slots import Slots
from batchyard.errors import EngineError, Overloaded, Rejected, Unavailable


class Simulator:
    """An engine without a model. Equal params get equal answers, in any order, at any load.

    What does depend on what came before is what would with a real engine: how long it takes and
    how many tokens came from the cache. Transient faults depend on the params and on how many times
    they were tried, so that a run can be repeated exactly.
    """

    def __init__(self, options: Options | None = None, *, clock: Clock | None = None) -> None:
        self.options = options or Options()
        self.slots = self.options.slots
        self._clock = clock or SystemClock()
        self._born = self._clock.monotonic()
        self._cache = PrefixCache(self.options.kv_blocks)
        self._slots = Slots(self.options.slots)
        self._tries: Counter[bytes] = Counter()

    @classmethod
    def from_options(cls, options: Mapping[str, str], *, clock: Clock | None = None) -> Self:
        """From the text of `simulator:latency=50ms,seed=7`; raises `ConfigurationError`."""
        return cls(parse(options), clock=clock)

    def __repr__(self) -> str:
        return f"<Simulator {'+'.join(self.options.models)}: {self._slots.taken}/{self.slots}>"

    async def create_message(self, ask: Ask) -> Reply:
        """As `Engine` says; takes as long as its options say a real engine would."""
        message, usage = await self._message(ask)
        return Reply(msgspec.json.encode(message), usage)

    async def forward(self, operation: Operation, ask: Ask) -> Forwarded:
        """As `Engine` says; streams events paced like the decoding of tokens."""
        try:
            if operation == "count_tokens":
                self._check_up()
                counted = {"input_tokens": tokens(len(self._prompt(ask).template))}
                return whole(200, wire.encode(counted))
            streaming = self._prompt(ask).params.get("stream") is True
            message, _ = await self._message(ask, pace=not streaming)
        except EngineError as error:
            if error.status is None:
                raise
            return refused(error)
        if not streaming:
            return whole(200, msgspec.json.encode(message))
        return Forwarded(200, "text/event-stream", self._paced(message))

    async def models(self) -> Sequence[Model]:
        """The configured names."""
        self._check_up()
        return [Model(name, max_input_tokens=self.options.context) for name in self.options.models]

    async def close(self) -> None:
        """Nothing to release."""

    # -- one request ------------------------------------------------------------------------------

    async def _message(self, ask: Ask, *, pace: bool = True) -> tuple[dict[str, Any], Usage]:
        self._check_up()
        prompt = self._prompt(ask)
        digest = prompt.digest(self.options.seed)
        self._trouble(digest)
        async with self._slots.one(urgent=ask.priority == "high"):
            size = tokens(len(prompt.template))
            cached = self._cache.admit(prompt.template)
            said = answer(prompt, digest, self.options.length)
            decoding = self.options.decode * said.output_tokens if pace else 0.0
            await self._clock.sleep(self._latency(digest, size - cached) + decoding)
        del self._tries[digest]
        usage = Usage(size - cached, said.output_tokens, cache_read_input_tokens=cached)
        return _message(ask.model, digest, said, usage), usage

    def _prompt(self, ask: Ask) -> Prompt:
        if ask.model not in self.options.models:
            raise Rejected(f"model: {ask.model}", type="not_found_error", status=404)
        prompt = Prompt(ask.params)
        size = tokens(len(prompt.template))
        if size > self.options.context:
            raise Rejected(
                f"prompt is too long: {size} tokens > {self.options.context} maximum",
                type="invalid_request_error",
                status=400,
            )
        return prompt

    def _latency(self, digest: bytes, uncached: int) -> float:
        swing = (2 * _chance(digest, "jitter") - 1) * self.options.jitter
        return max(0.0, self.options.latency + swing) + self.options.prefill * uncached

    def _trouble(self, digest: bytes) -> None:
        """Raise what the options have in store for this try."""
        options = self.options
        if options.limit and self._slots.taken >= options.limit:
            words = f"simulated: more than {options.limit} requests at once"
            raise Overloaded(words, status=429)
        if _chance(digest, "permanent") < options.permanent:
            words = "simulated: this request is always refused"
            raise Rejected(words, type="invalid_request_error", status=400)
        if not options.overload and not options.faults:
            return
        self._tries[digest] += 1
        tried = str(self._tries[digest])
        if _chance(digest, "overload" + tried) < options.overload:
            raise Overloaded("simulated overload", retry_after=options.retry_after, status=429)
        if _chance(digest, "fault" + tried) < options.faults:
            raise Unavailable("simulated fault", status=500)

    def _check_up(self) -> None:
        first, last = self.options.down
        if first <= self._clock.monotonic() - self._born < last:
            raise Unavailable("simulated: nobody answers")

    async def _paced(self, message: dict[str, Any]) -> AsyncIterator[bytes]:
        pieces: Iterator[bytes] = events(message)
        per_piece = self.options.decode * 6
        for piece in pieces:
            if per_piece and b"_delta" in piece:
                await self._clock.sleep(per_piece)
            yield piece


def _message(model: str, digest: bytes, said: Said, usage: Usage) -> dict[str, Any]:
    return {
        "id": f"msg_01{digest[16:27].hex()}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": said.content,
        "stop_reason": said.stop_reason,
        "stop_sequence": said.stop_sequence,
        "usage": {
            "input_tokens": usage.input_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": usage.cache_read_input_tokens,
            "output_tokens": usage.output_tokens,
            "service_tier": "standard",
        },
    }


def _chance(digest: bytes, what: str) -> float:
    """A number in [0, 1) that depends on the digest and `what` alone."""
    drawn = hashlib.blake2b(digest + what.encode(), digest_size=8).digest()
    return int.from_bytes(drawn, "big") / 2**64
