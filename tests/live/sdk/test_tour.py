"""What the official SDKs see of a batch's life, in every generation, namespace and colour."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.live.sdk.conftest import SDKS

Tours = Callable[[str], dict[str, Any]]
COUNTS = ("processing", "succeeded", "errored", "canceled", "expired")


def _variants() -> list[Any]:
    found: list[Any] = []
    for sdk in SDKS:
        colours = ("sync", "async") if sdk.startswith("python") else ("async",)
        marks = pytest.mark.timeout(240)
        found += [
            pytest.param(sdk, f"{colour}-{space}", marks=marks)
            for colour in colours
            for space in ("ga", "beta")
        ]
    return found


everywhere = pytest.mark.parametrize(("sdk", "variant"), _variants())


def refused(fact: dict[str, Any], status: int, type: str, kind: str) -> None:
    """An error as the SDK raised it: its class, and the request id in header and body."""
    assert (fact["status"], fact["type"], fact["class"]) == (status, type, kind), fact
    assert fact["request_id"].startswith("req_"), fact
    assert fact["request_id"] == fact["body_request_id"], fact


@everywhere
def test_a_created_batch_is_in_progress_with_every_request_processing(
    tours: Tours, sdk: str, variant: str
) -> None:
    facts = tours(sdk)[variant]
    batch = facts["created"]
    assert batch["processing_status"] == "in_progress"
    assert batch["request_counts"] == dict.fromkeys(COUNTS, 0) | {"processing": 9}
    assert batch["results_url"] is None
    assert batch["ended_at"] is None
    assert batch["cancel_initiated_at"] is None
    assert facts["created_request_id"].startswith("req_")
    assert facts["retrieved_id"] == batch["id"]


@everywhere
def test_the_ended_batch_has_a_line_for_each_request(tours: Tours, sdk: str, variant: str) -> None:
    facts = tours(sdk)[variant]
    assert facts["ended"]["request_counts"] == dict.fromkeys(COUNTS, 0) | {
        "succeeded": 5,
        "errored": 4,
    }
    assert facts["result_count"] == 9
    results = facts["results"]
    for number in range(5):
        message = results[f"ok-{number}"]["message"]
        assert message["type"] == "message"
        assert message["model"] == "simulator-1"
        assert message["usage"]["service_tier"] == "batch"
    expected = {
        "no-messages": ("invalid_request_error", "messages: Field required"),
        "streams": ("invalid_request_error", "stream"),
        "zero": ("invalid_request_error", "max_tokens"),
        "unknown-model": ("not_found_error", "no-such-model"),
    }
    for custom_id, (kind, words) in expected.items():
        error = results[custom_id]["error"]["error"]
        assert error["type"] == kind
        assert words in error["message"]


@everywhere
def test_pages_go_both_ways(tours: Tours, sdk: str, variant: str) -> None:
    paging = tours(sdk)[variant]["paging"]
    made = paging["made"]
    newest_first = made[::-1]
    assert paging["forwards"] == newest_first
    # Backwards is block-wise: the two just newer than the oldest, then the two before those.
    assert paging["backwards"] == [made[2], made[1], made[4], made[3]]
    assert paging["after"] == newest_first[1:]
    assert paging["first_page"] == [True, newest_first[0], newest_first[1], 2]
    refused(paging["too_many"], 400, "invalid_request_error", "BadRequestError")
    refused(paging["both"], 400, "invalid_request_error", "BadRequestError")


@everywhere
def test_a_canceled_batch_ends_with_a_line_for_each_request(
    tours: Tours, sdk: str, variant: str
) -> None:
    facts = tours(sdk)[variant]["waiting"]
    canceled, ended = facts["canceled"], facts["ended"]
    assert canceled["processing_status"] == "canceling"
    assert canceled["results_url"] is None
    assert facts["canceled_again"]["cancel_initiated_at"] == canceled["cancel_initiated_at"]
    assert facts["canceled_late"] == ended
    custom_ids, outcomes = zip(*facts["lines"], strict=True)
    assert sorted(custom_ids) == sorted(f"s-{number}" for number in range(40))
    # What was in flight when the cancel came may still have succeeded: two at a time.
    counts = {kind: outcomes.count(kind) for kind in COUNTS}
    assert counts["canceled"] >= 30
    assert counts["canceled"] + counts["succeeded"] == 40
    assert ended["request_counts"] == counts


@everywhere
def test_before_the_end_results_and_delete_are_refused(
    tours: Tours, sdk: str, variant: str
) -> None:
    facts = tours(sdk)[variant]["waiting"]
    # The SDK itself refuses: it sees that `results_url` is null and never asks for the lines.
    assert facts["results"]["class"] == "AnthropicError"
    refused(facts["delete"], 400, "invalid_request_error", "BadRequestError")


@everywhere
def test_after_a_delete_nothing_is_found(tours: Tours, sdk: str, variant: str) -> None:
    facts = tours(sdk)[variant]
    assert facts["deleted"] == {"id": facts["created"]["id"], "type": "message_batch_deleted"}
    for call in ("retrieve", "delete", "cancel", "results"):
        refused(facts["after_delete"][call], 404, "not_found_error", "NotFoundError")


@everywhere
def test_a_wrong_envelope_is_a_bad_request(tours: Tours, sdk: str, variant: str) -> None:
    fact = tours(sdk)[variant]["bad_create"]
    refused(fact, 400, "invalid_request_error", "BadRequestError")
    assert "requests: List should have at least 1 item" in fact["message"]


@everywhere
def test_the_raw_response_carries_the_request_id(tours: Tours, sdk: str, variant: str) -> None:
    facts = tours(sdk)[variant]
    assert facts["raw"]["request_id"].startswith("req_")
    assert facts["raw"]["id"] == facts["waiting"]["id"]


@everywhere
def test_live_messages_tokens_and_models_work(tours: Tours, sdk: str, variant: str) -> None:
    facts = tours(sdk)[variant]["siblings"]
    assert facts["message"]["content"][0]["type"] == "text"
    assert facts["message"]["usage"]["service_tier"] != "batch"
    assert facts["events"][0] == "message_start"
    assert facts["events"][-1] == "message_stop"
    assert facts["streamed"]["content"][0]["text"] == facts["message"]["content"][0]["text"]
    assert facts["input_tokens"] > 0
    assert set(facts["models"]) == {"simulator-1", "slow"}
    assert facts["one"]["id"] == facts["models"][0]
    refused(facts["unknown_model"], 404, "not_found_error", "NotFoundError")
    refused(facts["unknown_live"], 404, "not_found_error", "NotFoundError")
