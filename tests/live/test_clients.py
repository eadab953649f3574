"""What the clients of several generations send beside the body, and where they find results."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.live.conftest import Serve
from tests.live.harness.calls import HEADERS, Answer, Calls, body_of, request, requests
from tests.live.harness.serving import Server
from tests.live.harness.waiting import eventually

pytestmark = pytest.mark.timeout(120)

CREATE = "/v1/messages/batches"
KEEP_ALIVE_SECONDS = 15


@pytest.fixture(scope="module")
def shared(serve_module: Serve) -> Server:
    return serve_module("--engine", "simulator:latency=1ms")


@pytest.fixture(scope="module", autouse=True)
def idle(shared: Server) -> Iterator[tuple[Calls, float]]:
    """A connection used once when the module starts, and again by its last test."""
    calls = Calls(shared.url)
    assert calls.ask("GET", "/livez").status == 200
    yield calls, time.monotonic()
    calls.close()


@pytest.fixture
def calls(shared: Server) -> Iterator[Calls]:
    calls = Calls(shared.url)
    yield calls
    calls.close()


# -- what clients send beside the body -------------------------------------------------------------


def test_cancel_and_delete_take_any_body_or_none(calls: Calls) -> None:
    for body, headers in (
        (None, {}),
        (b"", {"content-type": "application/json"}),
        (b"{}", {"content-type": "application/json"}),
        (b"what is this", {"content-type": "text/plain"}),
    ):
        batch_id = calls.create(requests(1))["id"]
        canceled = calls.ask("POST", f"{CREATE}/{batch_id}/cancel", body, headers)
        assert canceled.status == 200, canceled
        calls.ended(batch_id)
        deleted = calls.ask("DELETE", f"{CREATE}/{batch_id}", body, headers)
        assert deleted.json == {"id": batch_id, "type": "message_batch_deleted"}


def test_beta_true_is_ignored_on_every_path(calls: Calls) -> None:
    body = body_of(requests(1))
    created = calls.ask("POST", f"{CREATE}?beta=true", body, {"anthropic-beta": "a,b , c-2026"})
    batch_id = created.json["id"]
    calls.ended(batch_id)
    for path in (
        f"{CREATE}/{batch_id}?beta=true",
        f"{CREATE}?beta=true&limit=2",
        f"{CREATE}?limit=1&beta=true&after_id={batch_id}",
        f"{CREATE}/{batch_id}/results?beta=true",
        "/v1/models?beta=true",
        "/v1/models?lifecycle%5B%5D=active&beta=true",
    ):
        assert calls.ask("GET", path).status == 200, path
    assert calls.ask("POST", f"{CREATE}/{batch_id}/cancel?beta=true").status == 200
    assert calls.ask("DELETE", f"{CREATE}/{batch_id}?beta=true").status == 200


@pytest.mark.parametrize("accept", ["application/binary", "*/*", "text/html", "application/json"])
def test_results_come_whatever_is_accepted(calls: Calls, accept: str) -> None:
    batch_id = calls.create(requests(3))["id"]
    calls.ended(batch_id)
    answer = calls.ask("GET", f"{CREATE}/{batch_id}/results", headers={"accept": accept})
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/x-jsonl"
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert answer.body.count(b"\n") == 3


def test_sdk_headers_of_every_generation_are_tolerated(calls: Calls) -> None:
    odd = {
        "x-stainless-timeout": "NOT_GIVEN",
        "x-stainless-read-timeout": "600",
        "x-stainless-retry-count": "0",
        "anthropic-beta": "no-such-beta-2030-01-01",
        "anthropic-dangerous-direct-browser-access": "true",
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "accept-language": "*",
        "sec-fetch-mode": "cors",
    }
    for version in ("2023-06-01", "2026-10-21"):
        calls.create(requests(1), {**odd, "anthropic-version": version})
    refused = calls.ask("GET", CREATE, headers={"anthropic-version": "1999-01-01"})
    assert refused.error[:2] == (400, "invalid_request_error")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/messages/batches/msgbatch_nothing", 404),
        ("GET", "/v1/messages/batches/..%2f..%2fetc", 404),
        ("GET", "/v1/nothing", 404),
        ("PUT", "/v1/messages/batches", 405),
        ("GET", "/v1/messages/batches?limit=0", 400),
        ("GET", "/v1/messages/batches?limit=x", 400),
        ("POST", "/v1/messages/batches", 400),
        ("POST", "/v1/messages", 400),
    ],
)
def test_every_refusal_is_an_envelope_with_a_request_id(
    calls: Calls, method: str, path: str, status: int
) -> None:
    answer = calls.ask(method, path, b"{nonsense" if method == "POST" else None)
    assert answer.error[0] == status
    assert answer.headers["content-type"] == "application/json"


# -- where results are -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "origin"),
    [
        ({"host": "batches.corp.example"}, "http://batches.corp.example"),
        ({"host": "localhost:9"}, "http://localhost:9"),
        (
            {"host": "inner", "x-forwarded-proto": "https", "x-forwarded-host": "b.example"},
            "https://b.example",
        ),
        (
            {"host": "b.example", "x-forwarded-proto": "https", "x-forwarded-prefix": "/llm"},
            "https://b.example/llm",
        ),
    ],
)
def test_results_url_is_on_the_origin_the_client_used(
    calls: Calls, headers: dict[str, str], origin: str
) -> None:
    batch_id = calls.create(requests(1))["id"]
    calls.ended(batch_id)
    answer = calls.ask("GET", f"{CREATE}/{batch_id}", headers=headers)
    assert answer.json["results_url"] == f"{origin}{CREATE}/{batch_id}/results"


def test_a_reader_that_hangs_up_costs_nobody_anything(shared: Server, calls: Calls) -> None:
    entries = [request(f"h-{number}", "word " * 400, max_tokens=512) for number in range(2_000)]
    batch = calls.create(entries)
    calls.ended(batch["id"], within=60)
    for _ in range(16):
        connection = calls.connect()
        connection.request("GET", f"{CREATE}/{batch['id']}/results", headers=HEADERS)
        response = connection.getresponse()
        assert response.status == 200
        response.read(10)
        connection.close()
    started = time.monotonic()
    assert calls.batch(batch["id"])["processing_status"] == "ended"
    assert time.monotonic() - started < 1.0


# -- last: what took its time ----------------------------------------------------------------------


def test_an_idle_connection_is_kept_for_longer_than_sdks_keep_it(
    idle: tuple[Calls, float],
) -> None:
    calls, opened = idle
    eventually(lambda: time.monotonic() - opened > KEEP_ALIVE_SECONDS, within=20, every=0.1)
    answer: Answer = calls.ask("GET", "/livez")
    assert answer.status == 200
