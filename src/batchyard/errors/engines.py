"""What an engine may raise: its class says to fail the request, wait, or go elsewhere."""

from __future__ import annotations

from typing import ClassVar

from batchyard.errors.tree import BatchyardError, ErrorType


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
