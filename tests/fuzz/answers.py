"""What an engine may say: refusals, waits, completions, messages, streams, lists of models."""

from __future__ import annotations

import json
from typing import Any, get_args
from unittest.mock import patch

import msgspec

from batchyard import ids, wire
from batchyard.engine import Ask
from batchyard.engines import failures, translate
from batchyard.engines.anthropic import listed_models
from batchyard.errors import EngineError, ErrorType, Overloaded, Rejected, Unavailable
from batchyard.store.recovery import _head

_NOW = 1_764_000_000_000_000
_STATUSES = (300, 400, 401, 404, 405, 408, 413, 422, 429, 500, 503, 529, 599, 499, 302, 403)
_WANTED = (
    translate.Wanted("m"),
    translate.Wanted("m", ("END",), "shown", "pre"),
    translate.Wanted("m", (), "omitted"),
)
_FLAVORS = tuple(translate.FLAVORS.values())


def check_refusal(data: bytes) -> None:
    """One byte for the status, lines for `retry-after`, `retry-after-ms`, `date`, then the body."""
    status, (after, milliseconds, date, body) = _STATUSES[(data or b"\0")[0] % 16], _four(data[1:])
    headers = {
        name: value.decode("latin-1")
        for name, value in (
            ("retry-after", after),
            ("retry-after-ms", milliseconds),
            ("date", date),
        )
        if value
    }
    error = failures.classify(status, headers, body, now=_NOW)
    assert isinstance(error, EngineError)
    error.message.encode("utf-8", "surrogatepass")
    assert error.message
    assert len(error.message) < 2 * failures.WORDS_MAX
    wire.error_envelope("api_error", error.message, None).decode()
    if isinstance(error, Rejected):
        assert error.type in get_args(ErrorType)
    if isinstance(error, Overloaded | Unavailable):
        wait = error.retry_after
        assert wait is None or 0 <= wait <= failures.RETRY_AFTER_SECONDS_MAX


def _four(data: bytes) -> list[bytes]:
    """Three lines and the rest."""
    return [*data.split(b"\n", 3), b"", b"", b""][:4]


def check_completion(data: bytes) -> None:
    """A Chat Completion becomes one good result line, or is none."""
    if not data:
        return
    try:
        reply = translate.message(data[1:], _WANTED[data[0] % 3])
    except translate.NotACompletion:
        return
    assert min(_counts(reply.usage)) >= 0
    _check_line(reply.message)


def _counts(usage: Any) -> list[int]:
    return [
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_input_tokens,
        usage.cache_creation_input_tokens,
    ]


def check_message(data: bytes) -> None:
    """A Message becomes one good result line, or is none."""
    try:
        message, _ = wire.checked_message(data)
    except wire.NotAMessage:
        return
    _check_line(message)


def _check_line(message: bytes) -> None:
    """The line made of a message is one line, valid, and counts again after a crash."""
    line = wire.succeeded_line("a", message)
    assert line.count(b"\n") == 1
    head = _head(line)
    assert head is not None
    assert head.result.type == "succeeded"
    value = json.loads(line.decode(), parse_constant=_refuse)
    assert value["result"]["message"]["type"] == "message"
    assert value["result"]["message"]["usage"]["service_tier"] == "batch"


def _refuse(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def check_stream(data: bytes) -> None:
    """Two bytes for what is wanted and how the answer is cut: however it is, events are alike."""
    if len(data) < 2:
        return
    wanted, step, sent = _WANTED[data[0] % 3], data[1] + 1, data[2:]
    with (
        patch.object(ids, "message_id", lambda: "msg_1"),
        patch.object(ids, "tool_use_id", lambda: "toolu_1"),
    ):
        events = _events(wanted, [sent])
        cut = [sent[start : start + step] for start in range(0, len(sent), step)]
        assert _told(_events(wanted, cut)) == _told(events)
    kinds = [kind for kind, _ in _told(events)]
    assert kinds[-1] in ("message_stop", "error")
    assert kinds.count("message_stop") + kinds.count("error") == 1
    assert kinds.count("message_start") <= 1
    if kinds[-1] == "message_stop":
        assert kinds[0] == "message_start"
        assert kinds.count("content_block_start") == kinds.count("content_block_stop") >= 1


def _events(wanted: translate.Wanted, pieces: list[bytes]) -> bytes:
    stream = translate.MessageStream(wanted)
    return b"".join([*(stream.feed(piece) for piece in pieces), stream.finish()])


def _told(events: bytes) -> list[tuple[str, Any]]:
    """(name, payload) of every event; each is a name, a data line and an empty line."""
    found = []
    for text in events.split(b"\n\n")[:-1]:
        name, data = text.split(b"\n")
        payload = json.loads(data.removeprefix(b"data: ").decode(), parse_constant=_refuse)
        assert name == b"event: " + payload["type"].encode()
        found.append((payload["type"], payload))
    return found


def check_models(data: bytes) -> None:
    """A list of models is one, in either dialect, or is none."""
    for model in listed_models(data):
        _check_model(model)
    try:
        listed = translate.models_of(data)
    except ValueError:
        return
    for model, _ in listed.values():
        _check_model(model)


def _check_model(model: Any) -> None:
    assert model.created_at >= 0
    assert model.created_at < 253_402_300_800 * 1_000_000
    for limit in (model.max_input_tokens, model.max_tokens):
        assert limit is None or 0 < limit < 2**63
    msgspec.json.encode(model)


def check_translation(data: bytes) -> None:
    """Params that are an object become a request in the other dialect, or are refused by path."""
    if not data:
        return
    params = data[1:]
    try:
        msgspec.json.decode(params, type=dict[str, msgspec.Raw])
        params.decode()
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return  # the envelope lets no such params through
    Ask(params, "m")
    try:
        request = translate.chat_request(params, _FLAVORS[data[0] % len(_FLAVORS)])
    except Rejected as refused:
        refused.message.encode()
        return
    for stream in (False, True):
        json.loads(request.body(stream=stream).decode(), parse_constant=_refuse)
