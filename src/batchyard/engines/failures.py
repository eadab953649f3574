"""What an engine's refusal means: pure functions from status, headers and body to an `EngineError`.

Every engine words its errors in its own way; the shapes understood here were seen on the wire of
the Messages API, Chat Completions servers, vLLM, llama.cpp, Ollama, FastAPI and plain proxies.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, get_args

import msgspec

from batchyard.clock import SECOND, Microseconds, SystemClock
from batchyard.errors import (
    EngineError,
    ErrorType,
    Misconfigured,
    Overloaded,
    Rejected,
    Unavailable,
)

RETRY_AFTER_SECONDS_MAX = 3600.0
WORDS_MAX = 2_000
PLAIN_WORDS_MAX = 200

_NINE: dict[str, ErrorType] = {name: name for name in get_args(ErrorType)}
_OPERATORS_CODES = {
    "enforced_spend_limit_reached",
    "organization_on_hold",
    "cmek_key_disabled",
    "claude_code_key_creator_not_member",
    "insufficient_quota",
}
_OPERATORS_WORDS = re.compile(
    r"credit balance is too low|reached your specified api usage limits", re.IGNORECASE
)
_FULL = re.compile(
    r"queue|overload|too many|capacity|concurren|rate.?limit|server (is )?busy", re.IGNORECASE
)
_NO_SUCH_PATH = re.compile(
    r"(404|405)?\W*(page|file|path|url)?\s*(not found|method not allowed)\W*\Z", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Said:
    """What a refusal says. `page` marks markup meant for a browser, as proxies send it."""

    words: str
    type: str = ""
    code: str = ""
    page: bool = False


def classify(
    status: int, headers: Mapping[str, str], body: bytes, *, now: Microseconds | None = None
) -> EngineError:
    """The error an answer other than 2xx stands for. Header names are lower case."""
    said = read(body)
    words = said.words or f"HTTP {status} without a word"
    if 300 <= status < 400:
        return _redirected(status, headers)
    if _operators_fault(status, said):
        return Misconfigured(f"{words} (HTTP {status})", status=status)
    wait = retry_after(headers, now=now)
    if status in (429, 529) or (status >= 500 and _is_full(status, said, wait)):
        return Overloaded(words, retry_after=wait, status=status)
    if status >= 500 or status in (408, 409, 425, 499):
        return Unavailable(words, retry_after=wait, status=status)
    return Rejected(words, type=error_type(status, said.type), status=status)


def read(body: bytes) -> Said:
    """The words, type and code in an error body of any shape."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return Said(_plain(body), page=body.lstrip().startswith(b"<"))
    if not isinstance(value, dict):
        return Said(_clipped(value) if isinstance(value, str) else "")
    match value:
        case {"error": dict(error)}:
            return _object(error)
        case {"error": str(words)}:
            return Said(_clipped(words))
        case {"detail": detail}:
            return Said(_clipped(_detail(detail)))
        case {"message": str()}:
            return _object(value)
    return Said(_plain(body))


def retry_after(headers: Mapping[str, str], *, now: Microseconds | None = None) -> float | None:
    """Seconds to wait at least, from `retry-after-ms` or `retry-after`; at most an hour.

    A date is measured against the answer's own `date` where there is one, so that two clocks which
    disagree do no harm. None when the engine gave none or wrote nonsense.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return _bounded(milliseconds / 1000)
    text = headers.get("retry-after")
    seconds = _number(text)
    if seconds is not None:
        return _bounded(seconds)
    until = _moment(text)
    if until is None:
        return None
    since = _moment(headers.get("date"))
    if since is None:
        since = (SystemClock().now() if now is None else now) / SECOND
    return _bounded(until - since)


def error_type(status: int, said: str) -> ErrorType:
    """One of the nine types a result line may carry: the engine's own where it is one of them."""
    if status == 413:
        return "invalid_request_error"
    if said in _NINE:
        return _NINE[said]
    if status == 404 or said in ("NotFoundError", "model_not_found"):
        return "not_found_error"
    return "invalid_request_error"


def _redirected(status: int, headers: Mapping[str, str]) -> EngineError:
    target = headers.get("location", "")[:PLAIN_WORDS_MAX]
    if target:
        words = f"it redirects to {target}; name that address as the engine (redirects are refused)"
        return Misconfigured(words, status=status)
    return Unavailable(f"HTTP {status} where an answer was due", status=status)


def _operators_fault(status: int, said: Said) -> bool:
    """Whether pausing the engine is right: key, billing, or a path that is not there.

    An unknown path is told from an unknown model by its words: failing a batch's every request
    because the base URL lacks a prefix would help nobody.
    """
    if status in (401, 402, 403, 407) or said.type == "billing_error":
        return True
    if status < 500 and (said.code in _OPERATORS_CODES or _OPERATORS_WORDS.search(said.words)):
        return True
    if status in (404, 405):
        return said.page or not said.words or _NO_SUCH_PATH.match(said.words) is not None
    return False


def _is_full(status: int, said: Said, wait: float | None) -> bool:
    if said.type == "overloaded_error":
        return True
    return status == 503 and (wait is not None or _FULL.search(said.words) is not None)


def _object(error: dict[str, Any]) -> Said:
    details = error.get("details")
    code = details.get("error_code") if isinstance(details, dict) else error.get("code")
    message = error.get("message")
    words = message if isinstance(message, str) else _compact(error)
    kind = error.get("type")
    return Said(
        _clipped(words),
        type=kind if isinstance(kind, str) else "",
        code=code if isinstance(code, str) else "",
    )


def _detail(detail: object) -> str:
    """FastAPI's `detail`: a sentence, or a list of places and what is wrong there."""
    if isinstance(detail, str):
        return detail
    if not isinstance(detail, list):
        return _compact(detail)
    found = []
    for fault in detail[:5]:
        if isinstance(fault, dict):
            steps = fault.get("loc")
            named = steps if isinstance(steps, list) else ()
            place = ".".join(str(step) for step in named if step != "body")
            found.append(f"{place}: {fault.get('msg', '')}".removeprefix(": "))
        else:
            found.append(str(fault))
    more = f" (and {len(detail) - 5} more)" if len(detail) > 5 else ""
    return "; ".join(found) + more


def _plain(body: bytes) -> str:
    """Text or a page: its first words, on one line, without markup."""
    text = body[: 64 * 1024].decode("utf-8", "replace")
    text = re.sub(r"<(script|style)\b.*?</\1>|<[^>]*>", " ", text, flags=re.DOTALL | re.IGNORECASE)
    return " ".join(text.split())[:PLAIN_WORDS_MAX]


def _compact(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _clipped(text: str) -> str:
    return text if len(text) <= WORDS_MAX else text[: WORDS_MAX - 1] + "…"


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return None if math.isnan(number) else number


def _moment(text: str | None) -> float | None:
    """An HTTP date as seconds since the epoch."""
    try:
        return parsedate_to_datetime(text or "").timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), RETRY_AFTER_SECONDS_MAX)
