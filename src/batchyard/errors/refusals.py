"""A caller's mistake: becomes an error envelope, or a line on the terminal; nothing was done."""

from __future__ import annotations

from typing import ClassVar

from batchyard.errors.tree import BatchyardError


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
