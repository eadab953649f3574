"""The way to an engine: good exchanges, and what each kind of failure means."""

from __future__ import annotations

import asyncio
import socket

import pytest

from batchyard.engines.http import HttpClient
from batchyard.errors import EngineError, Spent, Unavailable
from tests.engines.raw import BODY, JSON, PATH, answering, listening, request_of
from tests.upstreams import faults
from tests.upstreams.faults import Fault
from tests.upstreams.scripted import Scripted

# -- a good exchange -------------------------------------------------------------------------------


async def test_a_body_arrives_as_sent_and_an_answer_is_read_whole(
    client: HttpClient, upstream: Scripted
) -> None:
    answer = await client.post(PATH, JSON, BODY)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert b'"text":"hello"' in answer.body
    seen = upstream.exchanges[0]
    assert seen.body == BODY
    assert seen.headers["host"] == upstream.url.removeprefix("http://")
    assert seen.headers["content-length"] == str(len(BODY))


async def test_megabytes_go_and_come(upstream: Scripted) -> None:
    text = "ä" * 4_000_000
    body = BODY.replace(b"hello", text.encode())
    async with HttpClient(upstream.url) as client:
        answer = await client.post(PATH, JSON, body)
    assert upstream.exchanges[0].body == body
    assert text.encode() in answer.body


async def test_a_connection_is_used_again(client: HttpClient, upstream: Scripted) -> None:
    for _ in range(5):
        await client.post(PATH, JSON, BODY)
    assert upstream.accepted == 1


async def test_many_at_once_each_get_their_own_answer(upstream: Scripted) -> None:
    async def ask(client: HttpClient, number: int) -> None:
        answer = await client.post(PATH, JSON, BODY.replace(b"hello", b"number %d" % number))
        assert b'"text":"number %d"' % number in answer.body

    async with HttpClient(upstream.url) as client:
        await asyncio.gather(*(ask(client, number) for number in range(200)))
    assert len(upstream.exchanges) == 200


@pytest.mark.parametrize("code", [100, 103])
async def test_an_interim_answer_is_not_the_answer(code: int) -> None:
    interim = b"HTTP/1.1 %d Wait\r\n\r\n" % code
    final = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    async with listening(answering(interim + final)) as url, HttpClient(url) as client:
        answer = await client.get("/")
    assert (answer.status, answer.body) == (200, b"ok")


async def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nall there is"
    async with listening(answering(answer)) as url, HttpClient(url) as client:
        assert (await client.get("/")).body == b"all there is"


async def test_headers_given_twice_are_joined() -> None:
    answer = b"HTTP/1.1 204 No\r\nX-One: a\r\nx-one: b\r\n\r\n"
    async with listening(answering(answer)) as url, HttpClient(url) as client:
        assert (await client.get("/")).headers["x-one"] == "a, b"


async def test_redirects_are_answers_not_orders(client: HttpClient, upstream: Scripted) -> None:
    upstream.script.append(faults.redirect(upstream.url + PATH))
    answer = await client.post(PATH, JSON, BODY)
    assert answer.status == 307
    assert len(upstream.exchanges) == 1


async def test_cookies_are_not_kept(upstream: Scripted, client: HttpClient) -> None:
    upstream.script.append(faults.status(200, body=b"{}", headers={"set-cookie": "a=b"}))
    await client.post(PATH, JSON, BODY)
    await client.post(PATH, JSON, BODY)
    assert "cookie" not in upstream.exchanges[1].headers


async def test_line_ends_in_a_header_value_do_not_make_another_header(
    client: HttpClient, upstream: Scripted
) -> None:
    await client.post(PATH, {**JSON, "x-request-id": "a\r\nx-evil: 1"}, BODY)
    assert upstream.exchanges[0].headers["x-request-id"] == "a  x-evil: 1"
    assert "x-evil" not in upstream.exchanges[0].headers


async def test_a_trailing_v1_of_the_base_url_is_not_doubled(upstream: Scripted) -> None:
    async with HttpClient(upstream.url + "/v1/") as client:
        assert client.base_url == upstream.url
        assert (await client.post(PATH, JSON, BODY)).status == 200


async def test_a_path_in_the_base_url_is_kept(upstream: Scripted) -> None:
    async with HttpClient(upstream.url + "/gateway") as client:
        await client.get("/v1/models")
    assert upstream.others[0].path == "/gateway/v1/models"


# -- the request surely did not get there ----------------------------------------------------------


async def test_a_refused_connection_is_unavailable(upstream: Scripted) -> None:
    await upstream.down()
    async with HttpClient(upstream.url) as client:
        with pytest.raises(Unavailable, match="connection refused") as caught:
            await client.post(PATH, JSON, BODY)
    assert caught.value.status is None


async def test_a_name_that_does_not_resolve_is_unavailable() -> None:
    async with HttpClient("http://nosuch.invalid") as client:
        with pytest.raises(Unavailable, match="cannot be resolved"):
            await client.post(PATH, JSON, BODY)


async def test_a_host_that_takes_no_connection_is_unavailable_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        crowd = [socket.socket() for _ in range(4)]
        for one in crowd:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        async with HttpClient(f"http://127.0.0.1:{port}", connect_seconds=0.2) as client:
            with pytest.raises(Unavailable, match=r"no connection within 0\.2 s"):
                await client.post(PATH, JSON, BODY)
        for one in crowd:
            one.close()


async def test_a_get_spends_nothing_whatever_happens() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)

    async with listening(hang_up) as url, HttpClient(url) as client:
        with pytest.raises(Unavailable, match="closed without an answer"):
            await client.get("/v1/models")


# -- sent, and no whole answer ---------------------------------------------------------------------


@pytest.mark.parametrize("reused", [False, True], ids=["fresh", "reused"])
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (faults.reset(), "connection reset"),
        (faults.fin(), "closed without an answer"),
        (faults.hang(), r"no whole answer within 0\.3 s"),
        (faults.reset_after_headers(), "connection reset"),
        (faults.truncated(), "closed in the middle"),
        (faults.unfinished_chunks(), "closed in the middle"),
        (faults.trickle(30), r"no whole answer within 0\.3 s"),
        (faults.stall(), r"no whole answer within 0\.3 s"),
        (faults.not_http(), "not HTTP"),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else "",
)
async def test_no_whole_answer_may_have_been_computed_and_is_asked_once(
    client: HttpClient, upstream: Scripted, fault: Fault, words: str, *, reused: bool
) -> None:
    if reused:
        await client.post(PATH, JSON, BODY)
    upstream.script.append(fault)
    before = len(upstream.exchanges)
    with pytest.raises(Spent, match=words):
        await client.post(PATH, JSON, BODY)
    assert len(upstream.exchanges) == before + 1
    assert (await client.post(PATH, JSON, BODY)).status == 200


async def test_an_answer_beyond_the_limit_is_given_up(upstream: Scripted) -> None:
    async with HttpClient(upstream.url, answer_bytes_max=1 << 20) as client:
        upstream.script.append(faults.huge(64))
        with pytest.raises(Spent, match="larger than 1 MiB"):
            await client.post(PATH, JSON, BODY)
        await upstream.until(lambda seen: seen.exchanges[0].gone)


async def test_headers_without_end_are_given_up() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nx: ")
        while not writer.is_closing():
            writer.write(b"y" * 65536)
            await writer.drain()

    async with listening(serve) as url, HttpClient(url) as client:
        with pytest.raises(Spent, match="headers have no end"):
            await client.post(PATH, JSON, BODY)


async def test_an_error_knows_no_engine_status_when_there_was_no_answer(
    client: HttpClient, upstream: Scripted
) -> None:
    upstream.script.append(faults.reset())
    with pytest.raises(EngineError) as caught:
        await client.post(PATH, JSON, BODY)
    assert caught.value.status is None
    assert caught.value.message == f"{upstream.url}: connection reset by peer"
