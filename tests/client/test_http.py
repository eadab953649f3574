"""Calls that fail: what is asked again, what never, and in which words it ends."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from batchyard import errors
from batchyard.client import Client, Lost, RequestsFile, http
from tests.client.conftest import QuickClock
from tests.client.stub import HANG_UP, ROOT, Reply, Stub, answer, batch, error, page

CREATED = answer(batch(processing=1))


@pytest.fixture
def requests(tmp_path: Path) -> RequestsFile:
    path = tmp_path / "in.jsonl"
    path.write_text('{"custom_id":"a","params":{}}\n')
    return RequestsFile(path)


# -- what is sent ---------------------------------------------------------------------------------


async def test_every_call_carries_key_and_version(server: Stub, client: Client) -> None:
    server.on(f"GET {ROOT}/msgbatch_1", answer(batch()))
    assert (await client.retrieve("msgbatch_1")).id == "msgbatch_1"
    (asked,) = server.asked
    assert asked.headers["x-api-key"] == "sk-secret"
    assert asked.headers["anthropic-version"] == "2023-06-01"
    assert "authorization" not in asked.headers


async def test_a_create_is_one_json_body_with_its_length(
    server: Stub, client: Client, requests: RequestsFile
) -> None:
    server.on(f"POST {ROOT}", CREATED)
    await client.create(requests)
    (asked,) = server.of(f"POST {ROOT}")
    assert json.loads(asked.body) == {"requests": [{"custom_id": "a", "params": {}}]}
    assert asked.headers["content-length"] == str(len(asked.body))
    assert "transfer-encoding" not in asked.headers


async def test_a_list_walks_all_pages(server: Stub, client: Client) -> None:
    server.on(
        f"GET {ROOT}",
        page(batch("msgbatch_3"), batch("msgbatch_2"), has_more=True),
        page(batch("msgbatch_1")),
    )
    assert [one.id async for one in client.list(page=2)] == [
        "msgbatch_3",
        "msgbatch_2",
        "msgbatch_1",
    ]
    assert [asked.path.partition("?")[2] for asked in server.asked] == [
        "limit=2",
        "limit=2&after_id=msgbatch_2",
    ]


@pytest.mark.parametrize(
    "id", ["", ".", "..", "../models", "a/b", "a?x=1", "a%2Fb", "ü", "x" * 999]
)
async def test_no_id_becomes_another_path(server: Stub, client: Client, id: str) -> None:
    with pytest.raises(errors.NotFound):
        await client.delete(id)
    assert server.asked == []


# -- what is asked again --------------------------------------------------------------------------

OVERLOADED = error(529, "overloaded_error", "Busy.")
FULL = error(503, "api_error", "Disk full.", retry_after="2")
WRONG = error(500, "api_error", "Oops.")


@pytest.mark.parametrize("trouble", [HANG_UP, OVERLOADED, FULL, WRONG, Reply(502, b"<html>")])
async def test_a_read_is_asked_again(server: Stub, client: Client, trouble: Reply) -> None:
    server.on(f"GET {ROOT}/msgbatch_1", trouble, trouble, answer(batch()))
    assert (await client.retrieve("msgbatch_1")).id == "msgbatch_1"
    assert len(server.asked) == 3


async def test_trouble_that_stays_is_told_after_four_tries(
    server: Stub, client: Client, clock: QuickClock
) -> None:
    server.on(f"GET {ROOT}/msgbatch_1", OVERLOADED)
    with pytest.raises(errors.Overload, match="Busy"):
        await client.retrieve("msgbatch_1")
    assert len(server.asked) == http.ATTEMPTS_MAX == 4
    assert len(clock.waits) == 3


async def test_the_wait_is_at_least_what_the_server_asks_for(
    server: Stub, client: Client, clock: QuickClock
) -> None:
    server.on(f"GET {ROOT}/msgbatch_1", FULL, answer(batch()))
    await client.retrieve("msgbatch_1")
    (wait,) = clock.waits
    assert 2 <= wait <= 2 + http.BACKOFF_SECONDS


async def test_a_long_wait_is_told_and_not_waited_for(
    server: Stub, client: Client, clock: QuickClock, requests: RequestsFile
) -> None:
    server.on(f"POST {ROOT}", error(429, "rate_limit_error", "Queue full.", retry_after="600"))
    with pytest.raises(errors.RateLimited, match="Queue full") as caught:
        await client.create(requests)
    assert caught.value.retry_after == 600
    assert clock.waits == []


@pytest.mark.parametrize(
    ("trouble", "tries"),
    [
        (error(429, "rate_limit_error", "No.", x_should_retry="false"), 1),
        (error(400, "invalid_request_error", "Later.", x_should_retry="true"), 4),
        (error(400, "invalid_request_error", "No."), 1),
    ],
)
async def test_the_advice_of_the_server_decides(
    server: Stub, client: Client, trouble: Reply, tries: int
) -> None:
    server.on(f"GET {ROOT}/msgbatch_1", trouble)
    with pytest.raises(errors.Refused):
        await client.retrieve("msgbatch_1")
    assert len(server.asked) == tries


@pytest.mark.parametrize("trouble", [HANG_UP, WRONG, Reply(504, b"proxy")])
async def test_a_lost_create_is_repeated_under_its_key_where_keys_are_remembered(
    server: Stub, client: Client, requests: RequestsFile, trouble: Reply
) -> None:
    server.batchyard()
    server.on(f"POST {ROOT}", trouble, CREATED)
    await client.create(requests)
    first, second = server.of(f"POST {ROOT}")
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"] != ""
    assert first.body == second.body


@pytest.mark.parametrize("trouble", [HANG_UP, WRONG, Reply(504, b"proxy")])
async def test_a_lost_create_is_never_repeated_elsewhere(
    server: Stub, client: Client, requests: RequestsFile, trouble: Reply
) -> None:
    server.on(f"POST {ROOT}", trouble, CREATED)
    with pytest.raises(errors.BatchyardError):
        await client.create(requests)
    assert len(server.of(f"POST {ROOT}")) == 1


async def test_two_creates_have_two_keys_unless_one_is_given(
    server: Stub, client: Client, requests: RequestsFile
) -> None:
    server.on(f"POST {ROOT}", CREATED)
    await client.create(requests)
    await client.create(requests)
    await client.create(requests, idempotency_key="mine")
    keys = [asked.headers["idempotency-key"] for asked in server.of(f"POST {ROOT}")]
    assert len(set(keys)) == 3
    assert keys[2] == "mine"


async def test_a_lost_delete_is_not_repeated_and_a_lost_cancel_is(
    server: Stub, client: Client
) -> None:
    server.on(f"DELETE {ROOT}/msgbatch_1", HANG_UP)
    server.on(f"POST {ROOT}/msgbatch_1/cancel", HANG_UP, CREATED)
    with pytest.raises(Lost):
        await client.delete("msgbatch_1")
    await client.cancel("msgbatch_1")
    assert len(server.of(f"DELETE {ROOT}/msgbatch_1")) == 1
    cancels = server.of(f"POST {ROOT}/msgbatch_1/cancel")
    assert [asked.headers["content-length"] for asked in cancels] == ["0", "0"]


# -- in which words it ends -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.InvalidRequest),
        (401, errors.AuthenticationFailed),
        (402, errors.PermissionDenied),
        (403, errors.PermissionDenied),
        (404, errors.NotFound),
        (409, errors.InvalidRequest),
        (413, errors.RequestTooLarge),
        (422, errors.InvalidRequest),
        (429, errors.RateLimited),
        (500, errors.ServiceUnavailable),
        (503, errors.ServiceUnavailable),
        (529, errors.Overload),
    ],
)
async def test_an_error_keeps_the_servers_words_and_code(
    server: Stub, client: Client, status: int, kind: type[errors.Refused]
) -> None:
    server.on(f"GET {ROOT}/msgbatch_1", error(status, "some_error", "In its words."))
    with pytest.raises(kind) as caught:
        await client.retrieve("msgbatch_1")
    assert type(caught.value) is kind
    assert caught.value.message == "In its words."
    assert caught.value.anchor == "the_code"


@pytest.mark.parametrize("status", [200, 404, 500])
async def test_a_page_of_another_service_is_told_from_an_answer(
    server: Stub, client: Client, status: int
) -> None:
    body = b"<html>  <h1>It\n works</h1>" + b"x" * 1000
    server.on(f"GET {ROOT}/msgbatch_1", Reply(status, body, {"content-type": "text/html; x"}))
    with pytest.raises(errors.NotThisApi) as caught:
        await client.retrieve("msgbatch_1")
    assert f"answered {status} (text/html)" in caught.value.message
    assert "<h1>It works</h1>" in caught.value.message
    assert len(caught.value.message) < 300


async def test_a_redirect_is_told_and_never_followed(server: Stub, client: Client) -> None:
    server.on(f"GET {ROOT}/msgbatch_1", Reply(302, headers={"location": f"{server.url}/stolen"}))
    with pytest.raises(errors.NotThisApi, match="/stolen"):
        await client.retrieve("msgbatch_1")
    assert [asked.path for asked in server.asked] == [f"{ROOT}/msgbatch_1"]


async def test_an_object_of_another_shape_is_no_batch(server: Stub, client: Client) -> None:
    server.on(f"GET {ROOT}/msgbatch_1", answer({**batch(), "processing_status": "paused"}))
    with pytest.raises(errors.NotThisApi):
        await client.retrieve("msgbatch_1")


async def test_fields_that_are_not_known_yet_do_no_harm(server: Stub, client: Client) -> None:
    server.on(f"GET {ROOT}/msgbatch_1", answer({**batch(), "priority": {"new": 1}}))
    assert (await client.retrieve("msgbatch_1")).id == "msgbatch_1"


async def test_nobody_there_is_told_in_the_systems_words(clock: QuickClock) -> None:
    async with Client("http://127.0.0.1:1", clock=clock) as client:
        with pytest.raises(errors.ServerUnreachable, match="Connection refused") as caught:
            await client.retrieve("msgbatch_1")
    assert not isinstance(caught.value, Lost)


async def test_a_server_that_says_nothing_is_given_up(
    server: Stub, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "ANSWER_SECONDS", 0.05)
    release = threading.Event()
    server.on(f"DELETE {ROOT}/msgbatch_1", Reply(hold=release))
    try:
        with pytest.raises(Lost, match="fell silent"):
            await client.delete("msgbatch_1")
    finally:
        release.set()


async def test_an_answer_given_before_the_body_was_read_gets_through(
    server: Stub, client: Client, tmp_path: Path
) -> None:
    path = tmp_path / "in.jsonl"
    text = "x" * 1_000_000
    with path.open("w") as file:
        for number in range(20):
            file.write(json.dumps({"custom_id": f"a{number}", "params": {"t": text}}) + "\n")
    refusal = error(413, "request_too_large", "Too large.")
    server.on(f"POST {ROOT}", replace(refusal, early=True))
    with pytest.raises(errors.RequestTooLarge, match="Too large"):
        await client.create(RequestsFile(path))
