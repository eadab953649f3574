"""Live calls: `/v1/messages` and `/v1/messages/count_tokens`, passed to an engine and back."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from starlette.responses import Response
from starlette.types import Receive

from batchyard import wire
from batchyard.api import failures, render
from batchyard.api.call import Call
from batchyard.api.context import STARTING_SECONDS, ApiContext
from batchyard.api.live.body import model_of, read_body, refuse_dropped
from batchyard.api.live.refusal import close, passed_on, refusal
from batchyard.engine import Ask, Forwarded, Operation
from batchyard.errors import (
    NotFound,
    ServiceUnavailable,
    Unavailable,
)
from batchyard.routing import Route

DOWN_SECONDS = 10

_T = TypeVar("_T")


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
        params = await read_body(call, self._context.limits.live_body_bytes_max)
        name = model_of(params)
        if self._context.compat.strict_version:
            refuse_dropped(params, version)
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
            return await refusal(engine, forwarded, call.request_id)
        body = self._counted(engine, forwarded)
        return render.Stream(
            body,
            status=forwarded.status,
            media_type=forwarded.content_type,
            headers=passed_on(forwarded),
        )

    async def _route(self, name: str) -> Route:
        """Where `name` is served; raises `NotFound`, or `ServiceUnavailable` while unknown."""
        route = await self._live.route(name, self._context.store, self._context.clock)
        if route is not None:
            return route
        routing = self._live.routing
        if waiting := routing.pending():
            raise ServiceUnavailable(
                f"Waiting for {', '.join(waiting)} to say which models it serves.",
                fix="See /readyz?verbose for the reason.",
                code="engine_unavailable",
                retry_after=round(STARTING_SECONDS),
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
            await close(forwarded)


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
