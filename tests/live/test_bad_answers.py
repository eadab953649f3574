"""Every bad answer an upstream can give, through the whole server: retried, or one typed line.

One batch per dialect holds a request for each kind of fault and good neighbours between them;
the requests carry their fault in their own text (see `tests/upstreams`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.live.conftest import Serve
from tests.live.harness.calls import Calls, request
from tests.live.harness.upstream import Upstream
from tests.upstreams.connection import Exchange

pytestmark = pytest.mark.timeout(180)

SPACING = 15
TYPES = {
    "invalid_request_error", "authentication_error", "billing_error", "permission_error",
    "not_found_error", "rate_limit_error", "timeout_error", "api_error", "overloaded_error",
}  # fmt: skip

OVERCOME = (
    "resetx2", "finx1", "reset-after-headersx1", "truncatedx1", "unfinished-chunksx1", "stallx1",
    "hangx1", "trickle:5x1", "garbagex1", "htmlx1", "not-httpx1", "status:408x2", "status:429x3",
    "status:429,retry-after=1x1", "status:500x2", "status:502x2", "status:503x3", "status:504x1",
    "status:529x2", "status:529,retry-after=1x1", "status:503,retry-after=1x1", "huge:40x1",
)  # fmt: skip
"""Faults of the first tries; the request succeeds in the end."""

FINAL = {
    "status:400": "invalid_request_error",
    "status:404": "not_found_error",
    "status:413": "invalid_request_error",
    "status:422": "invalid_request_error",
}
"""Refusals of the request itself: told once, in the engine's words."""

POISON = ("status:500", "garbage", "reset", "huge:40")
"""Faults of every try, while neighbours succeed: given up after a few."""


@dataclass(frozen=True)
class Run:
    """What became of the batch, and what the upstream saw of it."""

    results: dict[str, Any]
    upstream: Upstream

    def tries(self, name: str) -> list[Exchange]:
        return self.upstream.scripted.attempts(name)


def name_of(fault: str) -> str:
    return "f-" + fault.replace(":", "-").replace(",", "-").replace("=", "-")


def entries(model: str) -> list[dict[str, Any]]:
    """One bad request after every fifteen good ones, in the order in which they will be asked."""
    found = []
    for place, fault in enumerate((*POISON, *OVERCOME, *FINAL, "wrong-content-type")):
        for number in range(SPACING):
            name = f"n-{place * SPACING + number}"
            found.append(request(name, f"{place:03d} marker={name} good", model=model))
        text = f"{place:03d} marker={name_of(fault)} fault={fault} "
        found.append(request(name_of(fault), text, model=model))
    return found


@pytest.fixture(scope="module")
def runs(serve_module: Serve) -> Iterator[dict[str, Run]]:
    """The same batch through both dialects at once: most of its time is waiting between tries."""
    with (
        Upstream(models=["anthropic"], latency=0.3) as messages,
        Upstream(models=["openai"], latency=0.3) as chat,
    ):
        server = serve_module(
            *("--engine", f"anthropic+{messages.url};timeout=3;concurrency=8"),
            *("--engine", f"openai+{chat.url};timeout=3;concurrency=8"),
        )
        calls = Calls(server.url)
        upstreams = {"anthropic": messages, "openai": chat}
        ids = {dialect: calls.create(entries(dialect))["id"] for dialect in upstreams}
        found = {}
        for dialect, batch_id in ids.items():
            calls.ended(batch_id, within=150)
            lines = {line["custom_id"]: line["result"] for line in calls.results(batch_id)}
            assert lines.keys() == {entry["custom_id"] for entry in entries(dialect)}
            found[dialect] = Run(lines, upstreams[dialect])
        calls.close()
        yield found


@pytest.fixture(params=["anthropic", "openai"])
def run(request: pytest.FixtureRequest, runs: dict[str, Run]) -> Run:
    return runs[request.param]


@pytest.mark.parametrize("fault", OVERCOME)
def test_a_passing_fault_costs_a_retry_and_nothing_else(run: Run, fault: str) -> None:
    name, times = name_of(fault), int(fault.rpartition("x")[2])
    assert run.results[name]["type"] == "succeeded", run.results[name]
    tries = run.tries(name)
    assert len(tries) == times + 1
    for earlier, later in itertools.pairwise(tries):
        assert earlier.ended is not None
        assert later.started - earlier.ended >= 0.01, "retried at once"
        if "retry-after=1" in fault:
            assert later.started - earlier.ended >= 1.0, "came back too early"


@pytest.mark.parametrize("fault", FINAL)
def test_a_refusal_of_the_request_is_told_once_in_the_engines_words(run: Run, fault: str) -> None:
    name = name_of(fault)
    error = run.results[name]["error"]["error"]
    assert error["type"] == FINAL[fault]
    assert f"scripted {fault.partition(':')[2]}" in error["message"]
    assert len(run.tries(name)) == 1


@pytest.mark.parametrize("fault", POISON)
def test_a_request_that_always_fails_alike_is_given_up(run: Run, fault: str) -> None:
    name = name_of(fault)
    error = run.results[name]["error"]["error"]
    assert error["type"] in TYPES
    assert error["message"]
    if fault == "status:500":
        assert "scripted 500" in error["message"], "the engine's own words"
    assert 2 <= len(run.tries(name)) <= 15


def test_a_good_answer_under_a_wrong_content_type_is_an_answer(run: Run) -> None:
    assert run.results["f-wrong-content-type"]["type"] == "succeeded"


def test_every_neighbour_succeeded_at_the_first_try(run: Run) -> None:
    neighbours = [name for name in run.results if name.startswith("n-")]
    assert len(neighbours) > 300
    for name in neighbours:
        assert run.results[name]["type"] == "succeeded"
        assert len(run.tries(name)) == 1


def test_poison_in_a_row_or_alone_holds_up_nobody(serve: Serve) -> None:
    """Requests that fail alike begin alike, so they are asked one after the other; and of a small
    batch everybody else is done before the bad one was tried often enough to be sure.
    """
    with (
        Upstream(models=["crowd"], poison="POISON") as crowd,
        Upstream(models=["lone"], poison="POISON") as lone,
    ):
        server = serve(
            *("--engine", f"anthropic+{crowd.url};concurrency=8"),
            *("--engine", f"anthropic+{lone.url}"),
        )
        many = [request(f"b-{n}", f"POISON {n}", model="crowd") for n in range(20)]
        many += [request(f"g-{n}", f"good {n}", model="crowd") for n in range(300)]
        few = [request(f"g-{n}", f"good {n}", model="lone") for n in range(3)]
        few.append(request("b-0", "POISON", model="lone"))
        ids = [server.calls.create(many)["id"], server.calls.create(few)["id"]]
        for batch_id in ids:
            server.calls.ended(batch_id, within=120)
            for line in server.calls.results(batch_id):
                bad = line["custom_id"].startswith("b-")
                assert line["result"]["type"] == ("errored" if bad else "succeeded"), line
                if bad:
                    assert "scripted 500" in line["result"]["error"]["error"]["message"]


def test_a_limit_of_the_upstream_is_found_and_kept(serve: Serve) -> None:
    """With 4 at once allowed and no number given, refusals stay well below three per request."""
    with Upstream(limit=4, latency=0.02) as upstream:
        server = serve("--engine", f"anthropic+{upstream.url}")
        many = [request(f"r-{number}", f"number {number}", model="echo-1") for number in range(400)]
        results = server.calls.run(many, within=90)
        assert {result["type"] for result in results.values()} == {"succeeded"}
        refused = sum(exchange.status == 429 for exchange in upstream.exchanges)
        assert refused < 400, f"{refused} refusals for 400 requests"
