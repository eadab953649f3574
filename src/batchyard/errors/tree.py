"""The root of every exception, and the types of error that the API knows."""

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
