"""The API in JSON: the only shapes strangers see. A result line is rendered here, at birth."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, Literal

import msgspec

from batchyard.errors import ErrorType


class RequestCounts(msgspec.Struct, frozen=True):
    """Five non-negative ints that always sum to the batch's size."""

    processing: int
    succeeded: int
    errored: int
    canceled: int
    expired: int


class MessageBatch(msgspec.Struct, frozen=True):
    """The MessageBatch object: every key always present, in this order; times RFC 3339."""

    id: str
    type: Literal["message_batch"]
    processing_status: Literal["in_progress", "canceling", "ended"]
    request_counts: RequestCounts
    ended_at: str | None
    created_at: str
    expires_at: str
    archived_at: str | None
    cancel_initiated_at: str | None
    results_url: str | None


class DeletedMessageBatch(msgspec.Struct, frozen=True):
    """The answer to a delete."""

    id: str
    type: Literal["message_batch_deleted"] = "message_batch_deleted"


class Page(msgspec.Struct, frozen=True):
    """One page of a list, newest first; ids are null on an empty page."""

    data: list[Any]
    has_more: bool
    first_id: str | None
    last_id: str | None


class ModelInfo(msgspec.Struct, frozen=True):
    """A model as `/v1/models` shows it; `created_at` is the epoch where it is unknown.

    What an engine's model can do beyond text is not known, so `capabilities` is null, not a guess.
    """

    id: str
    display_name: str
    created_at: str
    max_input_tokens: int | None = None
    max_tokens: int | None = None
    type: Literal["model"] = "model"
    lifecycle: Literal["active", "deprecated", "retired"] = "active"
    deprecated_at: str | None = None
    retires_at: str | None = None
    line: str | None = None
    capabilities: None = None


class TokenCount(msgspec.Struct, frozen=True):
    """The answer to `/v1/messages/count_tokens`."""

    input_tokens: int


def encode(value: object) -> bytes:
    """Compact JSON, UTF-8."""
    return msgspec.json.encode(value)


def error_envelope(
    type: str, message: str, request_id: str | None, code: str | None = None
) -> bytes:
    """The error object of the API. `code` is our stable anchor, in `details.error_code`."""
    error: dict[str, Any] = {"type": type, "message": message}
    if code:
        error["details"] = {"error_code": code}
    return _safe({"type": "error", "error": error, "request_id": request_id})


# -- result lines: exactly one per request, `\n`-terminated, compact, valid UTF-8 ------------------


def succeeded_line(custom_id: str, message: bytes) -> bytes:
    """The line of an answered request; `message` is spliced in, its service tier made `batch`."""
    return b'{"custom_id":"%b","result":{"type":"succeeded","message":%b}}\n' % (
        custom_id.encode(),
        with_service_tier(message, "batch"),
    )


def errored_line(
    custom_id: str, type: ErrorType, message: str, request_id: str | None = None
) -> bytes:
    """The line of a request that failed for good: two levels of `error`, as the API nests them."""
    envelope = {
        "type": "error",
        "error": {"type": type, "message": message},
        "request_id": request_id,
    }
    return b'{"custom_id":"%b","result":{"type":"errored","error":%b}}\n' % (
        custom_id.encode(),
        _safe(envelope),
    )


def bare_line(custom_id: str, outcome: Literal["canceled", "expired"]) -> bytes:
    """The line of a request that was never answered because its batch was canceled or expired."""
    return b'{"custom_id":"%b","result":{"type":"%b"}}\n' % (custom_id.encode(), outcome.encode())


class _LineResult(msgspec.Struct):
    type: Literal["succeeded", "errored", "canceled", "expired"]


class ResultHead(msgspec.Struct):
    """What recovery needs of a result line; decoding it proves the line is whole JSON."""

    custom_id: str
    result: _LineResult


_result_head = msgspec.json.Decoder(ResultHead)


def result_head(line: bytes | memoryview) -> ResultHead | None:
    """The head of a result line, None when the line is torn or noise."""
    try:
        return _result_head.decode(line)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None


# -- messages -------------------------------------------------------------------------------------

_raw_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode = msgspec.json.Encoder().encode


class _UsageNumbers(msgspec.Struct, gc=False):
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None


class _MessageHead(msgspec.Struct, gc=False):
    type: Literal["message"]
    content: list[msgspec.Raw]
    usage: _UsageNumbers
    role: Literal["assistant"] = "assistant"


_message_head = msgspec.json.Decoder(_MessageHead)


class NotAMessage(ValueError):
    """A 200 whose body is no Message object."""


def checked_message(body: bytes) -> tuple[bytes, _UsageNumbers]:
    """One Message on one line of valid UTF-8, and its token counts; raises `NotAMessage`.

    The values inside stay byte for byte what the engine sent, unless they were not valid JSON text
    (broken UTF-8, lone surrogates): then U+FFFD stands where the damage was.
    """
    try:
        body.decode()
        head = _message_head.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        body = mended(body)
        try:
            head = _message_head.decode(body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise NotAMessage(f"not a Message object: {error}") from error
    return one_line(body), head.usage


def with_service_tier(message: bytes, tier: str) -> bytes:
    """`message` with `usage.service_tier` set; every other value keeps its bytes."""
    fields = _raw_object.decode(message)
    usage = _raw_object.decode(fields["usage"])
    usage["service_tier"] = _tier(tier)
    fields["usage"] = msgspec.Raw(_encode(usage))
    return _encode(fields)


@lru_cache(maxsize=8)
def _tier(name: str) -> msgspec.Raw:
    return msgspec.Raw(_encode(name))


def with_fields(params: bytes, **changes: object) -> bytes:
    """A JSON object with top-level `changes` set (None removes); other values keep their bytes."""
    fields = _raw_object.decode(params)
    for name, value in changes.items():
        if value is None:
            fields.pop(name, None)
        else:
            fields[name] = msgspec.Raw(_encode(value))
    return _encode(fields)


def one_line(json_text: bytes) -> bytes:
    """Valid JSON without line ends: a raw CR or LF there can only be white space between tokens."""
    if b"\n" in json_text or b"\r" in json_text:
        return json_text.replace(b"\r", b" ").replace(b"\n", b" ").strip()
    return json_text.strip()


def mended(body: bytes) -> bytes:
    """Damaged text re-encoded with replacement characters, `body` itself when it is not JSON."""
    try:
        value = json.loads(body.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return body
    return _safe(value)


def _safe(value: object) -> bytes:
    """JSON of `value` even where its strings hold lone surrogates."""
    try:
        return _encode(value)
    except (UnicodeEncodeError, ValueError):
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
