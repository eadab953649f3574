"""Live calls that go wrong: each way an engine or a body can fail has its status and words."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator

import httpx2
import pytest

from batchyard import wire
from batchyard.api.bodies.unpack import Unpack
from batchyard.api.live import body
from batchyard.batches.limits import Limits
from batchyard.errors import (
    EngineError,
    Misconfigured,
    Overloaded,
    Rejected,
    Spent,
    Unavailable,
)
from tests.api.conftest import Server
from tests.api.scripted import PARAMS, Scripted, call, live


@pytest.mark.parametrize(
    ("error", "status", "type", "retry"),
    [
        (
            Rejected("messages: no", type="invalid_request_error"),
            400,
            "invalid_request_error",
            None,
        ),
        (Rejected("cannot count", type="not_found_error"), 404, "not_found_error", None),
        (Overloaded("busy", status=429, retry_after=1.2), 429, "rate_limit_error", "2"),
        (Overloaded("busy", status=529), 529, "overloaded_error", "5"),
        (Overloaded("busy", status=503, retry_after=1e9), 529, "overloaded_error", "3600"),
        (Unavailable("refused"), 503, "api_error", "5"),
        (Unavailable("bad gateway", status=502), 503, "api_error", "5"),
        (Unavailable("too slow", status=504, retry_after=0), 504, "timeout_error", "5"),
        (Spent("torn"), 502, "api_error", None),
        (Misconfigured("wrong key", status=401), 503, "api_error", None),
    ],
)
async def test_what_an_engine_raises_has_its_status(
    server: Server, error: EngineError, status: int, type: str, retry: str | None
) -> None:
    answer = await call(server, Scripted(error))
    assert answer.status_code == status
    assert answer.json()["error"]["type"] == type
    assert error.message in answer.json()["error"]["message"]
    assert answer.headers.get("retry-after") == retry
    if isinstance(error, Misconfigured):
        assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("status", "kind", "told"),
    [
        (400, "invalid_request_error", 400),
        (429, "rate_limit_error", 429),
        (500, "api_error", 500),
        (529, "overloaded_error", 529),
        (401, "authentication_error", 503),
        (302, "x", 503),
    ],
)
async def test_an_engines_error_keeps_its_words_under_our_id(
    server: Server, status: int, kind: str, told: int
) -> None:
    body = wire.error_envelope(kind, "its own words", "req_theirs")
    engine = Scripted(lambda _: engine.says(status, body, retry_after="7", set_cookie="a=b"))
    answer = await call(server, engine)
    assert answer.status_code == told
    assert "req_theirs" not in answer.text
    assert answer.json()["request_id"] == answer.headers["request-id"]
    assert "set-cookie" not in answer.headers
    if told == status:
        assert answer.json()["error"]["type"] == kind
        assert answer.json()["error"]["message"] == "its own words"
        assert answer.headers["retry-after"] == "7"
    else:
        assert answer.json()["error"]["type"] == "api_error"
    assert engine.closed == 1


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"error":"x"}', b"\xff", b"x" * (2 << 20)])
async def test_an_error_without_an_envelope_gets_one(server: Server, body: bytes) -> None:
    engine = Scripted(lambda _: engine.says(500, body))
    answer = await call(server, engine)
    assert answer.status_code == 500
    assert answer.json()["error"] == {
        "type": "api_error",
        "message": "HTTP 500",
        "details": {"error_code": "engine_error"},
    }


async def test_an_engine_that_is_down_passes_the_call_to_the_next(server: Server) -> None:
    down, up = Scripted(Unavailable("refused")), Scripted()
    async with server.other(live=live({"a": down, "b": up})) as client:
        assert (await client.post("/v1/messages", json=PARAMS)).status_code == 200
    assert len(down.asked) == len(up.asked) == 1


async def test_an_engine_that_answered_is_the_only_one_asked(server: Server) -> None:
    """A 5xx may have cost something: nothing is computed twice for one call."""
    broken, idle = Scripted(Unavailable("HTTP 500", status=500)), Scripted()
    async with server.other(live=live({"a": broken, "b": idle})) as client:
        assert (await client.post("/v1/messages", json=PARAMS)).status_code == 503
    assert idle.asked == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "The request body is not valid JSON: …"),
        (b'{"model": "tiny"', "The request body is not valid JSON: …"),
        (b'{"model": "tiny"} x', "The request body is not valid JSON: …"),
        (b'{"model": "tiny", "x": "\xff"}', "The request body is not valid JSON: invalid UTF-8…"),
        (b"[" * 100_000, "…"),
        (b'{"model": "tiny", "x": "\\ud800"}', "The request body is not valid JSON: …"),
        (b"[]", "The request body must be a JSON object."),
        (b"{}", "model: Field required"),
        (b'{"model": 5}', "model: Input should be a valid string"),
    ],
)
async def test_a_bad_body_never_reaches_an_engine(
    server: Server, content: bytes, message: str
) -> None:
    engine = Scripted()
    answer = await call(server, engine, json=None, content=content)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith(message.removesuffix("…"))
    assert engine.asked == []


async def test_a_body_is_unpacked_in_a_thread(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A megabyte may hold a thousand: the loop that answers everybody has no time for that."""
    workers = []

    class Watched(Unpack):
        def pieces(self, chunk: bytes) -> Iterator[bytes]:
            for piece in super().pieces(chunk):
                workers.append(threading.current_thread())
                yield piece

    monkeypatch.setattr(body, "Unpack", Watched)
    packed = gzip.compress(json.dumps(PARAMS | {"system": " " * 2_000_000}).encode())
    headers = {"content-encoding": "gzip"}
    assert (await call(server, Scripted(), json=None, content=packed, headers=headers)).is_success
    assert len(workers) > 5
    assert threading.main_thread() not in workers


async def test_bodies_may_be_gzip_under_the_same_limit(server: Server) -> None:
    engine = Scripted()
    plain = json.dumps(PARAMS | {"system": "x" * 500}).encode()
    packed = {"content-encoding": "gzip"}
    limits = {"limits": Limits(live_body_bytes_max=len(plain))}

    async def post(content: bytes, headers: dict[str, str]) -> httpx2.Response:
        return await call(
            server, engine, json=None, content=content, headers=headers, changes=limits
        )

    assert (await post(gzip.compress(plain), packed)).status_code == 200
    assert (await post(gzip.compress(plain[:40]) + gzip.compress(plain[40:]), packed)).is_success
    assert [ask.params for _, ask in engine.asked] == [plain, plain]
    assert (await post(plain + b" ", {})).status_code == 413
    assert (await post(gzip.compress(plain + b" " * 10_000), packed)).status_code == 413
    torn = await post(gzip.compress(plain)[:-5], packed)
    assert torn.json()["error"]["details"]["error_code"] == "request_body_encoding_invalid"
    odd = await post(plain, {"content-encoding": "br"})
    assert odd.json()["error"]["details"]["error_code"] == "request_body_encoding_unsupported"
    assert len(engine.asked) == 2
