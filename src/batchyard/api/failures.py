"""Every error in the envelope: the outermost layer, which also gives each answer its id."""

from __future__ import annotations

import math
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from batchyard import ids, telemetry, wire
from batchyard.errors import (
    DiskFull,
    EngineError,
    Misconfigured,
    Overloaded,
    Refused,
    Rejected,
    StorageError,
    Unavailable,
    type_of_status,
)

RETRY_AFTER_MAX = 3_600
"""Longest wait we ever ask for, in seconds: newer SDKs really sleep as long as they are told."""

ENGINE_WAIT_SECONDS = 5.0
STORAGE_WAIT_SECONDS = 10.0
"""What `retry-after` says where nobody knows better."""

_TEMPORARY = (408, 409, 429)

_STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 503,
    "billing_error": 503,
    "permission_error": 503,
    "not_found_error": 404,
    "rate_limit_error": 429,
    "timeout_error": 504,
    "api_error": 502,
    "overloaded_error": 529,
}
"""HTTP status for what an engine rejects. It answers our credentials, not those of the caller:
a refusal of those is our fault (503), or the caller would look for the mistake in its own key."""

_log = telemetry.logger("batchyard.api")


class ClientGone(Exception):
    """The caller hung up before there was an answer; nobody is left to be told anything."""


class WithHeader(Refused):
    """A refusal that tells more in a header."""

    header: tuple[str, str]


class MethodNotAllowed(WithHeader):
    """405: the path exists, the method does not."""

    status = 405
    code = "method_not_allowed"

    def __init__(self, method: str, path: str, allowed: str) -> None:
        super().__init__(
            f"{method[:16]} is not possible at {path[:200]}.",
            fix=f"Use {allowed}.",
            should_retry=False,
        )
        self.header = ("allow", allowed)


class RangeNotSatisfiable(WithHeader):
    """416: a range of which there is not one byte."""

    status = 416
    code = "range_not_satisfiable"

    def __init__(self, size: int) -> None:
        super().__init__(
            f"Range: There are {size} bytes, and none of them is in this range.",
            fix="Ask for bytes that are there, or leave the header out.",
        )
        self.header = ("content-range", f"bytes */{size}")


@dataclass(frozen=True, slots=True)
class Answer:
    """What an error looks like from outside. `retry_after` in seconds."""

    status: int
    message: str
    code: str
    retry_after: float | None = None
    should_retry: bool | None = None
    type: str = ""
    headers: tuple[tuple[str, str], ...] = ()

    def response(self, request_id: str) -> Response:
        """The envelope with its headers; permanent errors tell the SDKs not to try again."""
        headers = dict(self.headers)
        should_retry = self.should_retry
        if should_retry is None and self.status < 500 and self.status not in _TEMPORARY:
            should_retry = False
        if should_retry is not None:
            headers["x-should-retry"] = "true" if should_retry else "false"
        if self.retry_after is not None:
            seconds = min(max(1, math.ceil(self.retry_after)), RETRY_AFTER_MAX)
            headers["retry-after"] = str(seconds)
        kind = self.type or type_of_status(self.status)
        body = wire.error_envelope(kind, self.message, request_id, self.code)
        return Response(body, self.status, headers, media_type="application/json")


class Guard:
    """The layer around everything: an id on every answer, an envelope around every error.

    An error after the first bytes were sent is raised on, so that the server cuts the connection:
    a client must never take half an answer for a whole one.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = scope["request_id"] = ids.request_id()
        identity: list[tuple[bytes, bytes]] = [(b"request-id", request_id.encode())]
        scope["identity"] = identity
        started = False

        async def stamped(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message["headers"], *identity]
            await send(message)

        try:
            await self._app(scope, receive, stamped)
        except (ClientDisconnect, ClientGone):
            return
        except Exception as error:
            if started:
                _log.warning("answer_aborted", request_id=request_id, error=repr(error)[:500])
                raise
            answered = answer(error)
            if answered.status >= 500:
                _report(error, answered, scope)
            await answered.response(request_id)(scope, receive, stamped)


def answer(error: Exception) -> Answer:
    """What `error` means to a caller, without anything of our insides."""
    if isinstance(error, Refused):
        return _of_refusal(error)
    if isinstance(error, EngineError):
        return _of_engine(error)
    if isinstance(error, StorageError):
        return _of_storage(error)
    if isinstance(error, HTTPException):
        return Answer(error.status_code, f"{error.detail}.", "invalid_request")
    return Answer(
        500, "Internal server error; the server's log has the cause. [internal]", "internal"
    )


def _of_refusal(error: Refused) -> Answer:
    """Our own words; those with a fix end in the anchor under which the reference explains them."""
    return Answer(
        error.status,
        f"{error.message} {error.fix} [{error.anchor}]" if error.fix else error.message,
        error.anchor,
        error.retry_after,
        error.should_retry,
        error.type,
        (error.header,) if isinstance(error, WithHeader) else (),
    )


def _of_engine(error: EngineError) -> Answer:
    """An engine's error on a live call; a wait is only passed on where waiting helps."""
    words = f"{error.message} [{error.code}]"
    if isinstance(error, Rejected):
        return Answer(_STATUSES[error.type], error.message, error.code)
    if isinstance(error, Overloaded):
        status = 429 if error.status == 429 else 529
        return Answer(status, words, error.code, error.retry_after or ENGINE_WAIT_SECONDS)
    if isinstance(error, Misconfigured):
        return Answer(503, words, error.code, should_retry=False)
    if isinstance(error, Unavailable):
        status = 504 if error.status == 504 else 503
        return Answer(status, words, error.code, error.retry_after or ENGINE_WAIT_SECONDS)
    return Answer(502, words, error.code)


def _of_storage(error: StorageError) -> Answer:
    """The ground shakes: nothing was done, and the words name no path of ours."""
    if isinstance(error, DiskFull):
        words = "The server's disk is full; nothing was stored. Work goes on once there is space."
    else:
        words = "The server's storage failed; nothing was acknowledged. Its log has the cause."
    return Answer(503, f"{words} [{error.code}]", error.code, STORAGE_WAIT_SECONDS)


def _report(error: Exception, answered: Answer, scope: Scope) -> None:
    """One log line for what is not the caller's fault; a traceback only for the unforeseen."""
    _log.error(
        "request_failed",
        request_id=scope["request_id"],
        method=scope["method"],
        path=scope["path"][:200],
        status=answered.status,
        error=repr(error)[:500],
        exc_info=error if answered.code == "internal" else None,
    )
