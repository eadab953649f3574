"""Every path the server answers, and the layers each call goes through on its way in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from batchyard.api.auth import Gate
from batchyard.api.batches import Batches
from batchyard.api.call import Call
from batchyard.api.catalogue import Catalogue
from batchyard.api.context import ApiContext
from batchyard.api.failures import Guard, MethodNotAllowed
from batchyard.api.live.calls import LiveCalls
from batchyard.api.ops import Ops
from batchyard.api.reference.pages import Reference
from batchyard.errors import NotFound

Handler = Callable[[Call], Awaitable[Response]]
Table = Mapping[str, Mapping[str, Handler]]


def create_app(context: ApiContext) -> ASGIApp:
    """The whole HTTP edge as one ASGI application over the given store and engines."""
    gate = Gate(
        context.keys,
        context.clock,
        required=context.auth_required,
        organization_id=context.organization_id,
        web_origins=context.cors_origins,
    )
    routes = [Route(path, Endpoint(path, verbs, gate)) for path, verbs in api(context).items()]
    routes += [
        Route(path, Endpoint(path, verbs, None)) for path, verbs in open_(context, gate).items()
    ]
    app: ASGIApp = Router(routes, default=_nothing_here, redirect_slashes=False)
    app = Guard(app)
    if context.cors_origins:
        app = CORSMiddleware(
            app,
            allow_origins=context.cors_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["*"],
            expose_headers=["request-id", "retry-after", "accept-ranges", "content-range", "etag"],
        )
    return app


def api(context: ApiContext) -> Table:
    """The paths of the API: a key is needed where keys exist. The most polled one comes first."""
    batches, live, catalogue = Batches(context), LiveCalls(context), Catalogue(context)
    return {
        "/v1/messages/batches/{batch_id}": {"GET": batches.retrieve, "DELETE": batches.delete},
        "/v1/messages/batches": {"GET": batches.page, "POST": batches.create},
        "/v1/messages/batches/{batch_id}/results": {"GET": batches.results},
        "/v1/messages/batches/{batch_id}/cancel": {"POST": batches.cancel},
        "/v1/messages": {"POST": live.messages},
        "/v1/messages/count_tokens": {"POST": live.count_tokens},
        "/v1/models": {"GET": catalogue.page},
        "/v1/models/{model_id:path}": {"GET": catalogue.retrieve},
    }


def open_(context: ApiContext, gate: Gate) -> Table:
    """The paths that need no key: probes and the reference."""
    ops, reference = Ops(context, gate), Reference(context.version)
    return {
        "/livez": {"GET": ops.livez},
        "/readyz": {"GET": ops.readyz},
        "/health": {"GET": ops.readyz},
        "/openapi.json": {"GET": reference.openapi},
        "/docs": {"GET": reference.page},
        "/docs/errors": {"GET": reference.errors},
    }


class Endpoint:
    """One path: finds the handler of the method, asks the gate, sends the answer.

    HEAD is GET without the body. Without a gate anybody may call.
    """

    def __init__(self, path: str, verbs: Mapping[str, Handler], gate: Gate | None) -> None:
        self._path = path
        self._verbs = dict(verbs)
        if "GET" in verbs:
            self._verbs["HEAD"] = verbs["GET"]
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = Call(scope, receive)
        if self._gate is not None:
            call.caller = self._gate.admit(call)
            call.api_version()  # an unknown version is refused everywhere, used only by some
        handler = self._verbs.get(call.method)
        if handler is None:
            raise MethodNotAllowed(call.method, self._path, ", ".join(self._verbs))
        response = await handler(call)
        await response(scope, receive, _headless(send) if call.method == "HEAD" else send)


def _headless(send: Send) -> Send:
    """`send` without the bytes of the body."""

    async def bare(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return bare


async def _nothing_here(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        return
    raise NotFound(
        f"There is nothing at {scope['path'][:200]}.",
        fix="/docs lists every path.",
        should_retry=False,
    )
