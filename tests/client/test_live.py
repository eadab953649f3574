"""Live calls: one message, one count, and what becomes of those that fail."""

from __future__ import annotations

import pytest

from batchyard import errors
from batchyard.client import Client, Lost
from tests.client.conftest import QuickClock
from tests.client.stub import HANG_UP, Reply, Stub, answer, error

MESSAGES, COUNT = "POST /v1/messages", "POST /v1/messages/count_tokens"
PARAMS = b'{"model":"tiny","max_tokens":9,"messages":[]}'
MESSAGE = answer({"id": "msg_1", "type": "message", "content": [], "usage": {"output_tokens": 3}})
BUSY = error(529, "overloaded_error", "Busy.")


async def test_a_message_comes_back_as_the_bytes_that_were_sent(
    server: Stub, client: Client
) -> None:
    server.on(MESSAGES, MESSAGE)
    assert await client.message(PARAMS) == MESSAGE.body
    (asked,) = server.asked
    assert asked.body == PARAMS
    assert asked.headers["content-type"] == "application/json"
    assert asked.headers["content-length"] == str(len(PARAMS))


async def test_a_message_whose_answer_is_lost_is_never_asked_for_again(
    server: Stub, client: Client
) -> None:
    server.on(MESSAGES, HANG_UP, MESSAGE)
    with pytest.raises(Lost):
        await client.message(PARAMS)
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [500, 504])
async def test_a_message_that_failed_inside_the_server_is_not_asked_for_again(
    server: Stub, client: Client, status: int
) -> None:
    server.on(MESSAGES, error(status, "api_error", "Oops."), MESSAGE)
    with pytest.raises(errors.ServiceUnavailable):
        await client.message(PARAMS)
    assert len(server.asked) == 1


async def test_a_message_refused_for_now_is_asked_for_again_in_full(
    server: Stub, client: Client, clock: QuickClock
) -> None:
    server.on(MESSAGES, BUSY, BUSY, MESSAGE)
    assert await client.message(PARAMS) == MESSAGE.body
    assert [one.body for one in server.asked] == [PARAMS] * 3
    assert len(clock.waits) == 2


async def test_a_page_in_place_of_a_message_is_told_as_one(server: Stub, client: Client) -> None:
    server.on(MESSAGES, Reply(200, b"<html>Welcome</html>", {"content-type": "text/html"}))
    with pytest.raises(errors.NotThisApi, match="Welcome"):
        await client.message(PARAMS)


@pytest.mark.parametrize("status", [404, 405])
async def test_a_server_without_live_calls_is_told_apart(
    server: Stub, client: Client, status: int
) -> None:
    server.on(MESSAGES, error(status, "not_found_error", "No such call."))
    with pytest.raises(errors.NotFound, match="No such call"):
        await client.message(PARAMS)


async def test_tokens_are_counted_by_the_server(server: Stub, client: Client) -> None:
    server.on(COUNT, HANG_UP, BUSY, answer({"input_tokens": 41}))
    assert await client.count_tokens(PARAMS) == 41
    assert [one.body for one in server.asked] == [PARAMS] * 3


@pytest.mark.parametrize(
    "reply",
    [
        error(404, "not_found_error", "Nothing here."),
        error(405, "invalid_request_error", "Not so."),
        answer({"detail": "Not Found"}, 404),
        Reply(200, b"<html>"),
    ],
)
async def test_a_server_that_does_not_count_gives_no_number(
    server: Stub, client: Client, reply: Reply
) -> None:
    server.on(COUNT, reply)
    assert await client.count_tokens(PARAMS) is None


async def test_a_key_that_may_not_count_is_an_error_not_a_missing_number(
    server: Stub, client: Client
) -> None:
    server.on(COUNT, error(401, "authentication_error", "Bad key."))
    with pytest.raises(errors.AuthenticationFailed):
        await client.count_tokens(PARAMS)
