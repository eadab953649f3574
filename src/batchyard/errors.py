"""Every exception, one tree: the class says what to do next, the code reaches the client.

Three branches. `Refused` is the answer to a caller's mistake: it becomes an HTTP error envelope or
a line on the terminal. `EngineError` is what an engine may raise: its class tells the worker
whether to fail the request, wait, or go elsewhere. `StorageError` is about the ground we stand on.
"""

from __future__ import annotations

from typing import ClassVar, Literal

ErrorType = Literal[
    "invalid_request_error",
    "authentication_error",
    "billing_error",
    "permission_error",
    "not_found_error",
    "rate_limit_error",
    "timeout_error",
    "api_error",
    "overloaded_error",
]
"""The nine types an `errored` result line may carry; strict clients refuse any other."""

_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def type_of_status(status: int) -> str:
    """The type of error that an HTTP status stands for in the API."""
    return _TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")


class BatchyardError(Exception):
    """Base of the tree. `code` is the stable anchor documented at `/docs/errors#<code>`."""

    code: ClassVar[str] = "internal"
    docs = ""
    """Where to read on, set by whoever knows a place."""

    def __init__(self, message: str, *, fix: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix


# -- a caller's mistake --------------------------------------------------------------------------


class Refused(BatchyardError):
    """A call we answer with an error envelope; nothing was done.

    `retry_after` (whole seconds) is sent as the header of that name; `should_retry` as
    `x-should-retry`, which the official SDKs obey before anything else.
    """

    status: ClassVar[int] = 400
    type: ClassVar[str] = "invalid_request_error"
    code: ClassVar[str] = "invalid_request"

    def __init__(
        self,
        message: str,
        *,
        fix: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
        should_retry: bool | None = None,
    ) -> None:
        super().__init__(message, fix=fix)
        self.anchor = code or self.code
        self.retry_after = retry_after
        self.should_retry = should_retry


class InvalidRequest(Refused):
    """400: something in the call itself is wrong; repeating it will not help."""


class AuthenticationFailed(Refused):
    """401: no key, or none we know. The same words for unknown, revoked and malformed."""

    status = 401
    type = "authentication_error"
    code = "authentication_failed"


class PermissionDenied(Refused):
    """403: a valid key that may not do this."""

    status = 403
    type = "permission_error"
    code = "permission_denied"


class NotFound(Refused):
    """404: no such thing in the caller's workspace (whether or not it exists in another)."""

    status = 404
    type = "not_found_error"
    code = "not_found"


class RequestTooLarge(Refused):
    """413: more bytes than the limit."""

    status = 413
    type = "request_too_large"
    code = "request_too_large"


class RateLimited(Refused):
    """429: a queue is full for now; `retry_after` says when to come back."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limited"


class ServiceUnavailable(Refused):
    """503: the server cannot take this right now (disk full, starting, no engine to ask)."""

    status = 503
    type = "api_error"
    code = "unavailable"


class Overload(Refused):
    """529: the engine behind a live call is overloaded."""

    status = 529
    type = "overloaded_error"
    code = "engine_overloaded"


# -- what an engine may say -----------------------------------------------------------------------


class EngineError(BatchyardError):
    """Base of what `Engine` methods raise. `message` carries the engine's own words.

    `status` is the HTTP status the engine answered with, None when there was no answer.
    """

    code: ClassVar[str] = "engine_error"

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Rejected(EngineError):
    """The request's own fault: it becomes an `errored` line and is never retried."""

    code = "rejected"

    def __init__(self, message: str, *, type: ErrorType, status: int | None = None) -> None:
        super().__init__(message, status=status)
        self.type: ErrorType = type


class Overloaded(EngineError):
    """The engine asks for less (429, 503 with a queue limit, 529): shrink, wait, ask again.

    `retry_after` is a lower bound in seconds, None when the engine gave none.
    """

    code = "overloaded"

    def __init__(
        self, message: str, *, retry_after: float | None = None, status: int | None = None
    ) -> None:
        super().__init__(message, status=status)
        self.retry_after = retry_after


class Unavailable(EngineError):
    """No useful answer and surely nothing billed, or a 5xx: ask again later or elsewhere.

    `status` None means the engine could not be reached at all (refused, DNS, TLS).
    """

    code = "engine_unavailable"

    def __init__(
        self, message: str, *, retry_after: float | None = None, status: int | None = None
    ) -> None:
        super().__init__(message, status=status)
        self.retry_after = retry_after


class Spent(EngineError):
    """The request was sent and no usable answer came back: it may have been computed and billed.

    `timed_out` tells silence, a sign of load, from a broken connection or a garbled answer.
    """

    code = "maybe_spent"

    def __init__(self, message: str, *, status: int | None = None, timed_out: bool = False) -> None:
        super().__init__(message, status=status)
        self.timed_out = timed_out


class Misconfigured(EngineError):
    """The operator's fault (key, billing, path): pause this engine and tell; burn no requests."""

    code = "engine_misconfigured"


# -- the ground we stand on -----------------------------------------------------------------------


class StorageError(BatchyardError):
    """Base of what the store raises for faults of disk or database."""

    code: ClassVar[str] = "storage"


class DiskFull(StorageError):
    """No space (or a file-size limit): refuse creates, hold results, go on when space returns."""

    code = "disk_full"


class StorageFailed(StorageError):
    """A write or fsync failed for another reason: exit and recover, never pretend."""

    code = "storage_failed"


class Damaged(StorageError):
    """Bytes that were durable are missing, or not as they were written. Told, never hidden."""

    code = "storage_damaged"


class Fenced(StorageError):
    """Another worker has taken this shard since: nothing the old one writes counts any more."""

    code = "fenced"


class DataDirectoryBusy(StorageError):
    """Another server holds the lock of this data directory."""

    code = "data_directory_busy"


class SchemaMismatch(StorageError):
    """The catalog was written by another version of the program."""

    code = "schema_mismatch"


# -- what a client meets --------------------------------------------------------------------------


class ServerUnreachable(BatchyardError):
    """No answer from the server, or one cut short: nothing is wrong with the call, try again."""

    code: ClassVar[str] = "server_unreachable"


class NotThisApi(BatchyardError):
    """Something answered that does not speak this API: a proxy's page, another service."""

    code: ClassVar[str] = "not_this_api"


class BadRequestsFile(BatchyardError):
    """A requests file that would be refused: found before anything was sent."""

    code: ClassVar[str] = "requests_file"


# -- the operator's mistake -----------------------------------------------------------------------


class ConfigurationError(BatchyardError):
    """A flag, variable or config key that cannot be: exit code 2, one sentence and the fix."""

    code: ClassVar[str] = "configuration"
