"""Refusals of the other server, in the API's envelope."""

from __future__ import annotations

import json

TYPES = {
    400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error",
    405: "invalid_request_error", 413: "request_too_large", 429: "rate_limit_error",
    500: "api_error",
}  # fmt: skip


class Refusal(Exception):
    """A call that is answered with an error; nothing has been done."""

    def __init__(
        self, status: int, message: str, *, headers: dict[str, str] | None = None, code: str = ""
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.headers = headers or {}
        if status == 404:
            self.headers["x-should-retry"] = "false"

    def body(self, request_id: str) -> bytes:
        """The envelope."""
        error: dict[str, object] = {"type": TYPES[self.status], "message": self.message}
        if self.code:
            error["details"] = {"error_code": self.code}
        return json.dumps({"type": "error", "error": error, "request_id": request_id}).encode()


class Unfit(Exception):
    """Params that cannot be answered: the line is errored with this type and message."""

    def __init__(self, message: str, type: str = "invalid_request_error") -> None:
        super().__init__(message)
        self.message = message
        self.type = type
