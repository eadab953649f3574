"""An HTTP answer as the client reads it: a typed value, or an error with the server's words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from batchyard import errors
from batchyard.errors import BatchyardError, NotThisApi, Refused

EXCERPT_MAX = 80
"""Characters of an answer we do not understand that are shown."""

T = TypeVar("T")

_REFUSALS: dict[int, type[Refused]] = {
    401: errors.AuthenticationFailed,
    402: errors.PermissionDenied,
    403: errors.PermissionDenied,
    404: errors.NotFound,
    405: errors.NotFound,  # a server that lacks a call may know its path for another one
    413: errors.RequestTooLarge,
    429: errors.RateLimited,
    529: errors.Overload,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. Header names are lower case; `url` is what was asked, without the query."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str

    def value(self, kind: type[T]) -> T:
        """The body as a `kind`; raises `NotThisApi` when it is something else."""
        try:
            return msgspec.json.decode(self.body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._foreign() from error

    def error(self) -> BatchyardError | None:
        """What an answer other than 200 means, None for a 200."""
        if self.status == 200:
            return None
        if 300 <= self.status < 400:
            return NotThisApi(
                f"{self.url} answers with a redirect ({self.status}) "
                f"to {self.headers.get('location', 'nowhere')[:200]}",
                fix="name the server it leads to with --server; keys are not sent after redirects",
            )
        try:
            detail = msgspec.json.decode(self.body, type=_Envelope)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return self._without_envelope()
        return self._refusal(detail)

    @property
    def retry_after(self) -> float | None:
        """Seconds the server asks to wait, None when it does not say or says it as a date."""
        text = self.headers.get("retry-after", "")
        return float(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None

    def _refusal(self, envelope: _Envelope) -> BatchyardError:
        kind = _REFUSALS.get(self.status)
        if kind is None:
            kind = errors.InvalidRequest if self.status < 500 else errors.ServiceUnavailable
        wait = self.retry_after
        advice = self.headers.get("x-should-retry")
        details = envelope.error.details
        return kind(
            envelope.error.message or f"{self.url} answered {self.status} without a reason",
            code=(details.error_code if details else None) or envelope.error.type,
            retry_after=None if wait is None else int(wait),
            should_retry=None if advice is None else advice == "true",
        )

    def _without_envelope(self) -> BatchyardError:
        """An error that is not of this API: most often a proxy's page, or another service."""
        if self.status in (502, 503, 504):
            return errors.ServerUnreachable(
                f"{self.url} answered {self.status}: {self._excerpt()}",
                fix="a proxy in front of the server cannot reach it; try again",
            )
        return self._foreign()

    def _foreign(self) -> NotThisApi:
        kind = self.headers.get("content-type", "").partition(";")[0] or "no content type"
        return NotThisApi(
            f"{self.url} answered {self.status} ({kind}), which is not an answer of the "
            f"Message Batches API: {self._excerpt()}",
            fix="check the address: --server, BATCHYARD_SERVER or ANTHROPIC_BASE_URL",
        )

    def _excerpt(self) -> str:
        text = " ".join(self.body[: 4 * EXCERPT_MAX].decode("utf-8", "replace").split())
        shown = text[:EXCERPT_MAX] + ("…" if len(text) > EXCERPT_MAX else "")
        return shown or "(empty)"


class _Details(msgspec.Struct):
    error_code: str | None = None


class _Error(msgspec.Struct):
    type: str
    message: str = ""
    details: _Details | None = None


class _Envelope(msgspec.Struct):
    error: _Error
