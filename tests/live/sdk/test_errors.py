"""Every error class an SDK has, raised by a live answer, with the request id in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.live.conftest import Serve
from tests.live.harness.keys import new_key
from tests.live.harness.serving import Server
from tests.live.harness.upstream import Upstream
from tests.live.sdk.conftest import SDKS, facts_of
from tests.live.sdk.installed import PYTHON

pytestmark = pytest.mark.timeout(180)

STATUSES = {
    400: (400, "invalid_request_error", "BadRequestError"),
    404: (404, "not_found_error", "NotFoundError"),
    413: (413, "request_too_large", "APIStatusError"),
    429: (429, "rate_limit_error", "RateLimitError"),
    500: (500, "api_error", "InternalServerError"),
    503: (503, "api_error", "APIStatusError"),
    529: (529, "overloaded_error", "APIStatusError"),
    # The engine refuses our key, not the caller's: who would otherwise look for a typo in it.
    401: (503, "api_error", "APIStatusError"),
    403: (503, "api_error", "APIStatusError"),
}
"""What the engine answers to a live call -> what its caller gets."""


@pytest.fixture(scope="module")
def failing(serve_module: Serve) -> Iterator[Server]:
    """An engine whose every model is named for the status it answers with."""
    with Upstream(models=[f"fault=status:{status}" for status in STATUSES]) as upstream:
        yield serve_module("--engine", f"anthropic+{upstream.url}")


@pytest.mark.parametrize("sdk", SDKS)
def test_every_status_is_raised_as_its_class_with_the_request_id(failing: Server, sdk: str) -> None:
    models = [f"fault=status:{status}" for status in STATUSES]
    facts = facts_of(sdk, failing.url, "-", "statuses", *models)
    for status, (expected, kind, base) in STATUSES.items():
        fact: dict[str, Any] = facts[f"fault=status:{status}"]
        assert (fact["status"], fact["type"]) == (expected, kind), (status, fact)
        if sdk.startswith("python"):
            assert base in fact["classes"], fact
        assert fact["request_id"].startswith("req_"), fact
        assert fact["request_id"] == fact["body_request_id"]


@pytest.mark.parametrize("version", PYTHON)
def test_keys_are_taken_in_both_headers_and_wrong_ones_refused(
    serve_module: Serve, version: str
) -> None:
    server = serve_module("--engine", "simulator")
    key = new_key(server.data_dir)
    facts = facts_of(f"python {version}", server.url, "-", "credentials", key)
    for way in ("wrong_key", "wrong_token"):
        fact = facts[way]
        assert (fact["status"], fact["type"]) == (401, "authentication_error"), fact
        assert fact["class"] == "AuthenticationError"
        assert fact["request_id"] == fact["body_request_id"]
    for way in ("right_key", "right_token"):
        assert facts[way]["class"] is None, facts[way]


@pytest.mark.parametrize("sdk", SDKS)
def test_a_hundred_thousand_requests_go_in_and_come_out(tours_server: Server, sdk: str) -> None:
    facts = facts_of(sdk, tours_server.url, "simulator-1", "large", "100000")
    assert facts["created"]["request_counts"]["processing"] == 100_000
    assert facts["lines"] == facts["different"] == 100_000
    counts = facts["ended"]["request_counts"]
    assert counts["succeeded"] + counts["canceled"] == 100_000


def test_one_request_more_is_refused(tours_server: Server) -> None:
    facts = facts_of("python 2.10.0", tours_server.url, "simulator-1", "too_many", "100000")
    assert facts["over"]["status"] == 400
    assert facts["over"]["class"] == "BadRequestError"
    assert "at most 100000 items" in facts["over"]["message"]


@pytest.fixture(scope="module")
def tours_server(serve_module: Serve) -> Server:
    return serve_module("--engine", "simulator:latency=1ms")
