"""Live calls: `/v1/messages` and `/v1/messages/count_tokens`, passed to an engine and back."""

from __future__ import annotations

import asyncio
import zlib
from collections import Counter
from collections.abc import AsyncGenerator, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import msgspec
from starlette.responses import Response
from starlette.types import Receive

from batchyard import wire
from batchyard.api import failures, render
from batchyard.api.call import Call
from batchyard.api.context import ApiContext
from batchyard.engine import Ask, Forwarded, Operation
from batchyard.errors import (
    InvalidRequest,
    Misconfigured,
    NotFound,
    RequestTooLarge,
    ServiceUnavailable,
    Unavailable,
)
from batchyard.routing import Route

ERROR_BYTES_MAX = 1024 * 1024
"""How much of an engine's error answer is read."""

PASSED_ON = ("retry-after", "retry-after-ms", "x-should-retry")
"""Headers of an engine's answer that mean the same coming from us."""

STARTING_SECONDS = 2
DOWN_SECONDS = 10

_T = TypeVar("_T")


class _Head(msgspec.Struct):
    model: str


_head = msgspec.json.Decoder(_Head)


class LiveCalls:
    """The handlers of `/v1/messages` and `/v1/messages/count_tokens`.

    What the caller sent goes to the engine byte for byte, but for `model` when that is an alias;
    the answer comes back byte for byte, so its `model` says who really answered.
    """

    def __init__(self, context: ApiContext) -> None:
        self._context = context
        self._live = context.live
        self._in_flight: Counter[str] = Counter()

    async def messages(self, call: Call) -> Response:
        """One message now, whole or as a stream of events."""
        return await self._forward("messages", call)

    async def count_tokens(self, call: Call) -> Response:
        """How many tokens a message would cost."""
        return await self._forward("count_tokens", call)

    async def _forward(self, operation: Operation, call: Call) -> Response:
        version = call.api_version()
        params = await _body(call, self._context.limits.live_body_bytes_max)
        name = _model(params)
        route = await self._route(name)
        if route.model.id != name:
            params = wire.with_fields(params, model=route.model.id)
        ask = Ask(
            params=params,
            model=route.model.id,
            trace=call.request_id,
            api_version=version,
            betas=call.betas(),
            priority="high",
        )
        engine, forwarded = await self._ask(route, operation, ask, call)
        if forwarded.status >= 300:
            return await _engine_refusal(engine, forwarded, call.request_id)
        body = self._counted(engine, forwarded)
        headers = {name: forwarded.headers[name] for name in PASSED_ON if name in forwarded.headers}
        return render.Stream(
            body, status=forwarded.status, media_type=forwarded.content_type, headers=headers
        )

    async def _route(self, name: str) -> Route:
        """Where `name` is served; raises `NotFound`, or `ServiceUnavailable` while unknown."""
        await self._live.refresh(self._context.store, self._context.clock)
        routing = self._live.routing
        route = routing.resolve(name)
        if route is not None:
            return route
        if waiting := routing.pending():
            raise ServiceUnavailable(
                f"Waiting for {', '.join(waiting)} to say which models it serves.",
                fix="See /readyz?verbose for the reason.",
                code="engine_unavailable",
                retry_after=STARTING_SECONDS,
            )
        raise NotFound(routing.unknown_model_message(name[:200]), code="unknown_model")

    async def _ask(
        self, route: Route, operation: Operation, ask: Ask, call: Call
    ) -> tuple[str, Forwarded]:
        """The first answer of the route's engines, the least busy asked first.

        The next one is only tried when an engine could not be reached at all: nothing is computed
        twice.
        """
        reachable = [name for name in route.engines if name in self._live.engines]
        reachable.sort(key=lambda name: (not self._is_up(name), self._in_flight[name]))
        failed: Unavailable | None = None
        for name in reachable:
            self._in_flight[name] += 1
            try:
                answer = self._live.engines[name].forward(operation, ask)
                return name, await _unless_gone(answer, call.receive)
            except Unavailable as error:
                failed = error
                if error.status is not None:
                    break
            finally:
                self._in_flight[name] -= 1
        if failed is not None:
            raise failed
        raise ServiceUnavailable(
            f"No engine that serves {route.model.id} can be reached from here.",
            fix="See /readyz?verbose for the reason.",
            code="engine_unavailable",
            retry_after=DOWN_SECONDS,
        )

    def _is_up(self, name: str) -> bool:
        report = self._live.reports.get(name)
        return report is None or report.state == "up"

    async def _counted(self, engine: str, forwarded: Forwarded) -> AsyncGenerator[bytes]:
        """The engine's body, counted as in flight until it is through or given up."""
        self._in_flight[engine] += 1
        try:
            async for chunk in forwarded.body:
                yield chunk
        finally:
            self._in_flight[engine] -= 1
            await _close(forwarded)


async def _body(call: Call, bytes_max: int) -> bytes:
    """The whole body, decoded; raises `RequestTooLarge` as soon as it is."""
    encoding = call.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip", "x-gzip", ""):
        raise InvalidRequest(
            f'Content-Encoding: "{encoding[:40]}" is not supported.',
            fix="Send gzip or no encoding.",
            code="request_body_encoding_unsupported",
        )
    inflate = zlib.decompressobj(wbits=31) if "gzip" in encoding else None
    declared = call.headers.get("content-length", "")
    if inflate is None and declared.isdecimal() and int(declared[:20]) > bytes_max:
        raise _too_large(bytes_max)
    body = bytearray()
    async for chunk in call.stream():
        try:
            body += inflate.decompress(chunk, bytes_max + 1 - len(body)) if inflate else chunk
        except zlib.error:
            raise _not_gzip() from None
        if len(body) > bytes_max:
            raise _too_large(bytes_max)
    if inflate is not None and not inflate.eof:
        raise _not_gzip()
    return bytes(body)


def _too_large(bytes_max: int) -> RequestTooLarge:
    return RequestTooLarge(f"Request exceeds the maximum size of {bytes_max} bytes.")


def _not_gzip() -> InvalidRequest:
    return InvalidRequest(
        "The request body is not valid gzip.",
        fix="Send it complete, or without Content-Encoding.",
        code="request_body_encoding_invalid",
    )


def _model(params: bytes) -> str:
    """The model asked for; everything else in `params` is for the engine to judge."""
    try:
        params.decode()
        return _head.decode(params).model
    except msgspec.ValidationError as error:
        fault = str(error)
        if "missing required field" in fault:
            raise InvalidRequest("model: Field required") from None
        if "$.model" in fault:
            raise InvalidRequest("model: Input should be a valid string") from None
        raise InvalidRequest("The request body must be a JSON object.") from None
    except UnicodeDecodeError as error:
        fault = f"invalid UTF-8 at byte {error.start}"
    except RecursionError:
        fault = "nested too deeply"
    except msgspec.DecodeError as error:
        fault = str(error)
    raise InvalidRequest(f"The request body is not valid JSON: {fault}")


async def _unless_gone(answer: Coroutine[Any, Any, _T], receive: Receive) -> _T:
    """What `answer` returns; cancelled, which frees the engine, if the caller hangs up first."""
    asking = asyncio.ensure_future(answer)
    hanging_up = asyncio.ensure_future(_disconnect(receive))
    try:
        await asyncio.wait({asking, hanging_up}, return_when=asyncio.FIRST_COMPLETED)
        if not asking.done():
            raise failures.ClientGone
        return asking.result()
    finally:
        for task in (asking, hanging_up):
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _engine_refusal(engine: str, forwarded: Forwarded, request_id: str) -> Response:
    """An engine's error in our envelope, under our id.

    A refusal of credentials is about ours, not the caller's, who must not look for the mistake in
    its own key; a redirect is never followed.
    """
    body = await _collected(forwarded)
    error = _error_object(body)
    words = error.get("message") or f"HTTP {forwarded.status}"
    if forwarded.status in (401, 402, 403):
        raise Misconfigured(f"{engine} refused this server's own credentials: {words}")
    if forwarded.status < 400:
        raise Unavailable(f"{engine} answered with a redirect.", status=forwarded.status)
    kind = error.get("type") or failures.type_of(forwarded.status)
    rendered = wire.error_envelope(kind, words, request_id, "engine_error")
    headers = {name: forwarded.headers[name] for name in PASSED_ON if name in forwarded.headers}
    return Response(rendered, forwarded.status, headers, media_type="application/json")


async def _collected(forwarded: Forwarded) -> bytes:
    body = bytearray()
    try:
        async for chunk in forwarded.body:
            body += chunk
            if len(body) > ERROR_BYTES_MAX:
                break
    finally:
        await _close(forwarded)
    return bytes(body)


class _EngineWords(msgspec.Struct):
    error: dict[str, Any]


def _error_object(body: bytes) -> dict[str, str]:
    """`type` and `message` of an error envelope, as far as there is one."""
    try:
        error = msgspec.json.decode(body, type=_EngineWords).error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return {}
    return {name: value for name, value in error.items() if isinstance(value, str)}


async def _close(forwarded: Forwarded) -> None:
    if isinstance(forwarded.body, AsyncGenerator):
        await forwarded.body.aclose()
