"""Creates sent twice, queues that are full, limits that were lowered, keys that are asked for."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.live.conftest import Serve
from tests.live.harness.calls import Calls, body_of, requests
from tests.live.harness.serving import Server
from tests.live.harness.upstream import Upstream
from tests.live.harness.waiting import eventually

pytestmark = pytest.mark.timeout(90)

CREATE = "/v1/messages/batches"


def test_an_sdk_retry_of_an_answered_create_is_the_same_batch(server: Server) -> None:
    calls = server.calls
    body = body_of(requests(3, prefix=f"retry{time.monotonic_ns()}"))
    first = calls.create(body)
    assert calls.create(body, {"x-stainless-retry-count": "1"})["id"] == first["id"]
    assert calls.create(body, {"x-stainless-retry-count": "2"})["id"] == first["id"]
    # The same body without the mark of a retry is a wish for a second batch.
    assert calls.create(body)["id"] != first["id"]
    assert calls.create(body, {"x-stainless-retry-count": "0"})["id"] != first["id"]


def test_an_idempotency_key_survives_a_restart_and_binds_its_body(serve: Serve) -> None:
    server = serve("--engine", "simulator")
    key = {"idempotency-key": "nightly-17"}
    first = server.calls.create(requests(2), key)
    assert server.calls.create(requests(2), key)["id"] == first["id"]
    server.calls.close()
    server.kill_all()
    server.start()
    assert server.calls.create(requests(2), key)["id"] == first["id"]
    other = server.calls.ask("POST", CREATE, body_of(requests(3)), key)
    assert 400 <= other.error[0] < 500
    assert len(server.calls.batches()) == 1


def test_a_full_queue_says_when_to_come_back(serve: Serve) -> None:
    with Upstream(models=["m"], latency=30) as upstream:
        server = serve(
            "--engine", upstream.url, env={"BATCHYARD_LIMITS__BATCHES_IN_PROCESS_MAX": "2"}
        )
        held = [server.calls.create(requests(1, model="m"))["id"] for _ in range(2)]
        refused = server.calls.ask("POST", CREATE, body_of(requests(1, model="m")))
        assert refused.error[:2] == (429, "rate_limit_error")
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.headers.get("x-should-retry") != "false"
        server.calls.cancel(held[0])
        server.calls.ended(held[0])
        server.calls.create(requests(1, model="m"))


def test_lowered_limits_hold(serve: Serve) -> None:
    limits = {
        "BATCHYARD_LIMITS__REQUESTS_MAX": "10",
        "BATCHYARD_LIMITS__BODY_BYTES_MAX": "5000",
        "BATCHYARD_COMPAT__DOCUMENTED_COUNTS": "true",
        "BATCHYARD_PUBLIC_URL": "https://batches.example/yard",
    }
    server = serve("--engine", "simulator:latency=300ms", env=limits)
    calls = server.calls
    assert calls.ask("POST", CREATE, body_of(requests(11))).error[0] == 400
    assert calls.ask("POST", CREATE, b" " * 5001).error[:2] == (413, "request_too_large")
    batch = calls.create(requests(10))
    seen = set()
    while batch["processing_status"] != "ended":
        seen.add(batch["request_counts"]["processing"])
        batch = calls.batch(batch["id"])
    assert seen == {10}, "documented counts stand still until the end"
    assert batch["request_counts"]["succeeded"] == 10
    assert batch["results_url"] == f"https://batches.example/yard{CREATE}/{batch['id']}/results"


def test_time_passes_also_while_the_server_is_down(serve: Serve) -> None:
    """Expiry and archival count from creation (I-22, I-26), here in seconds for hours and days."""
    with Upstream(models=["m"], latency=60) as upstream:
        short = {
            "BATCHYARD_LIMITS__PROCESSING_SECONDS": "3",
            "BATCHYARD_LIMITS__RESULTS_SECONDS": "7",
        }
        server = serve("--engine", upstream.url, "--engine", "simulator", env=short)
        mixed = requests(4, model="m") + requests(2, model="simulator-1", prefix="done")
        batch = server.calls.create(mixed)
        created = time.monotonic()
        eventually(lambda: _succeeded(server.calls, batch["id"]) == 2, within=2)
        server.calls.close()
        server.kill_all()
        before = len(upstream.exchanges)
        eventually(lambda: time.monotonic() - created > 3.1, within=5)
        server.start()
        ended = server.calls.ended(batch["id"], within=3)
        assert ended["expires_at"] == batch["expires_at"]
        assert ended["request_counts"]["expired"] == 4
        assert ended["request_counts"]["succeeded"] == 2
        assert len(upstream.exchanges) == before, "asked after the deadline"
        assert ended["archived_at"] is None
        types = {
            line["custom_id"]: line["result"]["type"] for line in server.calls.results(batch["id"])
        }
        assert sorted(types.values()) == ["expired"] * 4 + ["succeeded"] * 2
        server.calls.close()
        assert server.stop() == 0
        eventually(lambda: time.monotonic() - created > 7.1, within=10)
        server.start()
        archived = eventually(lambda: _archived(server.calls, batch["id"]), within=5)
        assert archived["processing_status"] == "ended"
        assert archived["results_url"] is None
        assert archived["request_counts"] == ended["request_counts"]
        gone = server.calls.ask("GET", f"{CREATE}/{batch['id']}/results")
        assert gone.error[:2] == (404, "not_found_error")


def _succeeded(calls: Calls, batch_id: str) -> int:
    count: int = calls.batch(batch_id)["request_counts"]["succeeded"]
    return count


def _archived(calls: Calls, batch_id: str) -> dict[str, Any]:
    batch: dict[str, Any] = calls.batch(batch_id)
    assert batch["archived_at"] is not None
    return batch
