"""An engine that speaks Chat Completions, asked in Messages."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import msgspec

from batchyard import wire
from batchyard.engine import Ask, Forwarded, Model, Operation, Reply
from batchyard.engines import translate
from batchyard.engines.failures import classify
from batchyard.engines.forward import envelope_of, once, whole
from batchyard.engines.http import HttpClient
from batchyard.engines.receive import Answer, Streamed
from batchyard.engines.translate import ChatRequest, Flavor, Wanted
from batchyard.errors import EngineError, Misconfigured, Rejected, Spent, Unavailable

COMPLETIONS = "/v1/chat/completions"
MODELS = "/v1/models"

_TOO_LONG = re.compile(r"maximum context length|max_model_len|max(_completion)?_tokens", re.I)
_PRIORITY = {"low": "10", "high": "0"}
"""vLLM's `X-Vllm-Priority`: lower goes first; engines that do not know it ignore it."""

_PDF = b"application/pdf"


class _Counts(msgspec.Struct):
    """What is left of an answer to a token count: llama.cpp says one, vLLM the other."""

    input_tokens: int | None = None
    count: int | None = None


_counts = msgspec.json.Decoder(_Counts)


@dataclass(frozen=True, slots=True)
class _Counting:
    """Where and how an engine counts the tokens of a prompt."""

    path: str
    keeps: tuple[str, ...]


_COUNTING = {
    "input_tokens": _Counting(f"{COMPLETIONS}/input_tokens", ("model", "messages", "tools")),
    "tokenize": _Counting(
        "/tokenize",
        ("model", "messages", "tools", "chat_template_kwargs", "continue_final_message"),
    ),
}


class ChatEngine:
    """One Chat Completions endpoint. `base_url` with or without a trailing `/v1`.

    Which engine it is (`translate.flavor`) is learned from its model list before the first request
    unless `flavor` says so. `close` also closes `http`.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        http: HttpClient | None = None,
        flavor: Flavor | None = None,
        name: str = "",
    ) -> None:
        self.name = name or base_url
        self._http = http or HttpClient(base_url)
        self._headers = {"content-type": "application/json", "accept": "application/json"}
        if api_key:
            self._headers["authorization"] = f"Bearer {api_key}"
        self._flavor = flavor
        self._known: dict[str, Flavor] | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    async def create_message(self, ask: Ask) -> Reply:
        """Ask once and return the whole answer as a Message."""
        return await self.answered(ask, await self.translated(ask))

    async def answered(self, ask: Ask, request: ChatRequest) -> Reply:
        """The answer to a request already translated."""
        answer = await self._asked(ask, request)
        if answer.status // 100 != 2:
            raise _failure(answer)
        return self._reply(answer, request)

    async def forward(self, operation: Operation, ask: Ask) -> Forwarded:
        """Run a live call; the answer, streamed or whole, is in the Messages dialect.

        Raises `Rejected` also for params that the other dialect cannot express.
        """
        if operation == "count_tokens":
            return await self._counted(ask)
        request = await self.translated(ask)
        if request.wanted.stream:
            return await self._streamed(ask, request)
        answer = await self._asked(ask, request)
        if answer.status // 100 != 2:
            return envelope_of(answer, _failure(answer))
        return whole(200, self._reply(answer, request).message)

    async def models(self) -> Sequence[Model]:
        """The models of `/v1/models`; none ("any name is taken") where there is no such list."""
        answer = await self._http.get(MODELS, self._headers, total_seconds=30)
        if answer.status in (404, 405, 501):
            self._known = {}
            return []
        if answer.status // 100 != 2:
            raise _failure(answer)
        try:
            found = translate.models_of(answer.body)
        except ValueError as error:
            raise Misconfigured(
                f"{self._http.base_url}{MODELS} answers with {error}; is this an engine's address?",
                status=200,
            ) from error
        self._known = {name: flavor for name, (_, flavor) in found.items()}
        return [model for model, _ in found.values()]

    async def close(self) -> None:
        """Close the connections. May be called twice."""
        await self._http.close()

    # -- asking ------------------------------------------------------------------------------------

    async def translated(self, ask: Ask, *, counting: bool = False) -> ChatRequest:
        """The request in the engine's dialect. Raises `Rejected` where that has no words for it.

        Reading PDF files takes long: a thread does it.
        """
        flavor = await self._flavor_of(ask.model)
        if _PDF in ask.params and not flavor.pdf:
            return await asyncio.to_thread(
                translate.chat_request, ask.params, flavor, counting=counting
            )
        return translate.chat_request(ask.params, flavor, counting=counting)

    async def _flavor_of(self, model: str) -> Flavor:
        if self._flavor is not None:
            return self._flavor
        if self._known is None:
            await self.models()
        assert self._known is not None
        if model in self._known:
            return self._known[model]
        # Engines are of one kind throughout: any of its models tells which.
        return next(iter(self._known.values()), translate.FLAVORS["generic"])

    async def _asked(self, ask: Ask, request: ChatRequest) -> Answer:
        answer = await self.post(COMPLETIONS, ask, request.body())
        if _wants_less(answer, request):
            return await self.post(COMPLETIONS, ask, request.unlimited().body())
        return answer

    async def post(self, path: str, ask: Ask, body: bytes) -> Answer:
        """Send `body` for `ask` to a path of the engine; the answer whatever its status."""
        return await self._http.post(path, self._headers_for(ask), body)

    def _reply(self, answer: Answer, request: ChatRequest) -> Reply:
        try:
            return translate.message(answer.body, request.wanted)
        except translate.NotACompletion as error:
            raise Spent(f"{self._http.base_url}: {error}", status=200) from error

    def _headers_for(self, ask: Ask) -> dict[str, str]:
        headers = dict(self._headers)
        if ask.trace:
            headers["x-request-id"] = ask.trace
        headers["x-vllm-priority"] = _PRIORITY[ask.priority]
        return headers

    async def _streamed(self, ask: Ask, request: ChatRequest) -> Forwarded:
        for attempt in (request, request.unlimited()):
            streamed = await self._open(ask, attempt)
            if streamed.status // 100 == 2:
                return Forwarded(200, "text/event-stream", _Events(streamed, request.wanted))
            refusal = Answer(streamed.status, streamed.headers, await once(streamed))
            if not _wants_less(refusal, attempt):
                break
        return envelope_of(refusal, _failure(refusal))

    async def _open(self, ask: Ask, request: ChatRequest) -> Streamed:
        headers = self._headers_for(ask) | {"accept": "text/event-stream"}
        return await self._http.stream(COMPLETIONS, headers, request.body(stream=True))

    async def _counted(self, ask: Ask) -> Forwarded:
        """Tokens of the prompt as the engine itself counts them."""
        request = await self.translated(ask, counting=True)
        counting = _COUNTING.get((await self._flavor_of(ask.model)).counting)
        if counting is None:
            raise Rejected(
                f"{self.name} has no way to count the tokens of a prompt; the `usage` of an "
                "answer tells them",
                type="not_found_error",
            )
        fields = {name: value for name, value in request.fields.items() if name in counting.keeps}
        answer = await self.post(counting.path, ask, msgspec.json.encode(fields))
        if answer.status // 100 != 2:
            return envelope_of(answer, _failure(answer))
        try:
            told = _counts.decode(answer.body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise Spent(f"{self._http.base_url}: not a token count: {error}") from error
        return whole(200, wire.encode(wire.TokenCount(told.input_tokens or told.count or 0)))


def _failure(answer: Answer) -> EngineError:
    return classify(answer.status, answer.headers, answer.body)


def _wants_less(answer: Answer, request: ChatRequest) -> bool:
    """Whether only the output limit is too large for what is left of the context.

    vLLM refuses a `max_tokens` that does not fit beside the prompt, where the hosted API's models
    stop at the end of their context. Without a limit vLLM does that too. Nothing was computed yet.
    """
    if answer.status != 400 or request.unlimited().fields == request.fields:
        return False
    return bool(_TOO_LONG.search(_failure(answer).message))


class _Events:
    """The engine's stream as Messages events; one that breaks off ends in an `error` event."""

    def __init__(self, answer: Streamed, wanted: Wanted) -> None:
        self._answer = answer
        self._stream = translate.MessageStream(wanted)
        self._over = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while not self._over:
            if events := await self._next():
                return events
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Stop; the engine sees its connection closed. May be called twice."""
        self._over = True
        await self._answer.aclose()

    async def _next(self) -> bytes:
        try:
            return self._stream.feed(await anext(self._answer))
        except StopAsyncIteration:
            self._over = True
            return self._stream.finish()
        except (Spent, Unavailable, ValueError) as error:
            await self.aclose()
            return self._stream.fail(str(error))
