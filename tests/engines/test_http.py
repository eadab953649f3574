"""The way to an engine: what each kind of failure means, and that nothing is sent twice."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from batchyard.engines.http import HttpClient
from batchyard.errors import EngineError, Spent, Unavailable
from tests.upstreams import faults
from tests.upstreams.faults import Fault
from tests.upstreams.scripted import Scripted

JSON = {"content-type": "application/json"}
BODY = b'{"model":"echo-1","max_tokens":9,"messages":[{"role":"user","content":"hello"}]}'
PATH = "/v1/messages"

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def upstream() -> AsyncIterator[Scripted]:
    async with Scripted() as scripted:
        yield scripted


@pytest.fixture
async def client(upstream: Scripted) -> AsyncIterator[HttpClient]:
    async with HttpClient(upstream.url, total_seconds=0.3, idle_seconds=0.1) as client:
        yield client


@asynccontextmanager
async def listening(serve: Serve) -> AsyncIterator[str]:
    """A raw socket server whose every connection is handled by `serve`."""
    tasks: list[asyncio.Task[None]] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        try:
            await serve(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def request_of(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return head + await reader.readexactly(int(line.split(b":")[1]))
    return head


def answering(*answers: bytes) -> Serve:
    """A server that gives these answers on each connection, one per request, then closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await request_of(reader)
            writer.write(answer)
            await writer.drain()

    return serve


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


# -- connections that were kept --------------------------------------------------------------------


async def test_a_connection_closed_while_idle_is_replaced_without_a_word(
    client: HttpClient, upstream: Scripted
) -> None:
    await client.post(PATH, JSON, BODY)
    await upstream.close_idle()
    assert (await client.post(PATH, JSON, BODY)).status == 200
    assert len(upstream.exchanges) == 2
    assert upstream.accepted == 2


async def test_a_kept_connection_that_dies_under_half_a_request_is_replaced_once() -> None:
    """The engine reads one request and closes when the next, a large one, has only begun."""
    large = b"x" * 8_000_000
    seen: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(0)
        number = len(seen)
        seen[number - 1] = len(await request_of(reader))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await writer.drain()
        if number == 1:
            await reader.readexactly(10)
            writer.transport.abort()

    async with listening(serve) as url, HttpClient(url) as client:
        await client.post(PATH, JSON, BODY)
        assert (await client.post(PATH, JSON, large)).body == b"ok"
        assert len(seen) == 2
        assert seen[1] > len(large)


async def test_a_fresh_connection_that_dies_under_a_request_is_not_replaced() -> None:
    seen: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(len(await reader.readexactly(10)))
        writer.transport.abort()

    async with listening(serve) as url, HttpClient(url) as client:
        with pytest.raises(Spent):
            await client.post(PATH, JSON, b"x" * 8_000_000)
    assert len(seen) == 1


async def test_an_early_refusal_of_a_large_body_is_heard_and_the_connection_let_go() -> None:
    answer = b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n"
    held = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        await held.wait()

    async with listening(serve) as url, HttpClient(url) as client:
        assert (await client.post(PATH, JSON, b"x" * 8_000_000)).status == 413
        assert not client.kept
        held.set()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nKeep-Alive: timeout=2, max=9\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n",
    ],
    ids=["close", "short-lived", "http-1.0", "more-than-asked"],
)
async def test_a_connection_that_will_not_last_is_not_kept(answer: bytes) -> None:
    async with listening(answering(answer)) as url, HttpClient(url) as client:
        assert (await client.post(PATH, JSON, BODY)).body == b"ok"
        assert (await client.post(PATH, JSON, BODY)).body == b"ok"


async def test_idle_connections_are_let_go_before_engines_close_them(
    upstream: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchyard.engines.http.POOL_IDLE_SECONDS", 0.1)
    async with HttpClient(upstream.url) as client:
        await client.post(PATH, JSON, BODY)
        assert client.kept == 1
        await upstream.until(lambda seen: not seen.connections)
        assert client.kept == 0


# -- ending early ----------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [faults.hang(), faults.stall()], ids=lambda fault: fault.name)
async def test_cancelling_closes_the_connection_at_once(upstream: Scripted, fault: Fault) -> None:
    async with HttpClient(upstream.url) as client:
        upstream.script.append(fault)
        asking = asyncio.create_task(client.post(PATH, JSON, BODY))
        await upstream.seen(1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        async with asyncio.timeout(2):
            await upstream.until(lambda seen: seen.exchanges[0].gone)


async def test_cancelling_late_does_not_hurt_who_got_the_connection_next(
    upstream: Scripted,
) -> None:
    async with HttpClient(upstream.url) as client:
        upstream.hold()
        first = asyncio.create_task(client.post(PATH, JSON, BODY))
        await upstream.seen(1)
        upstream.release()
        while not client.kept:
            await asyncio.sleep(0)
        first.cancel()
        second = asyncio.create_task(client.post(PATH, JSON, BODY))
        assert (await second).status == 200
        await asyncio.gather(first, return_exceptions=True)


async def test_closing_ends_calls_in_flight(upstream: Scripted) -> None:
    client = HttpClient(upstream.url)
    upstream.script.append(faults.hang())
    asking = asyncio.create_task(client.post(PATH, JSON, BODY))
    await upstream.seen(1)
    await client.close()
    with pytest.raises(Spent, match="closed on our side"):
        await asking
    await client.close()


# -- answers as they arrive ------------------------------------------------------------------------


async def test_a_streamed_answer_passes_byte_for_byte(
    client: HttpClient, upstream: Scripted
) -> None:
    whole = await client.post(PATH, JSON, BODY.replace(b"{", b'{"stream":true,', 1))
    streamed = await client.stream(PATH, JSON, BODY.replace(b"{", b'{"stream":true,', 1))
    assert streamed.headers["content-type"] == "text/event-stream"
    body = b"".join([chunk async for chunk in streamed])
    assert body.count(b"event: ") == whole.body.count(b"event: ") > 5
    assert client.kept == 1


async def test_a_streamed_answer_starts_before_it_ends(upstream: Scripted) -> None:
    upstream.event_seconds = 0.02
    async with HttpClient(upstream.url) as client:
        streamed = await client.stream(PATH, JSON, BODY.replace(b"{", b'{"stream":true,', 1))
        assert b"message_start" in await anext(streamed)
        assert upstream.exchanges[0].ended is None
        await streamed.aclose()
        await upstream.until(lambda seen: seen.exchanges[0].gone)
        await streamed.aclose()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (faults.stall(), r"silent for 0\.1 s"),
        (faults.truncated(), "closed in the middle"),
        (faults.reset_after_headers(), "connection reset"),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else "",
)
async def test_a_streamed_answer_that_breaks_off_says_so(
    client: HttpClient, upstream: Scripted, fault: Fault, words: str
) -> None:
    upstream.script.append(fault)
    streamed = await client.stream(PATH, JSON, BODY)
    assert streamed.status == 200
    with pytest.raises(Spent, match=words):
        async for _ in streamed:
            pass


async def test_a_stream_that_never_starts_is_given_up_after_a_silence(
    client: HttpClient, upstream: Scripted
) -> None:
    upstream.script.append(faults.hang())
    with pytest.raises(Spent, match=r"silent for 0\.1 s"):
        await client.stream(PATH, JSON, BODY)


async def test_a_slow_reader_slows_the_engine_down_and_is_not_taken_for_a_silence(
    upstream: Scripted,
) -> None:
    upstream.script.append(faults.huge(64))
    async with HttpClient(upstream.url, idle_seconds=0.05) as client:
        streamed = await client.stream(PATH, JSON, BODY)
        size = len(await anext(streamed))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await upstream.until(lambda seen: seen.exchanges[0].ended is not None)
        assert streamed.buffered < 1 << 20
        async for chunk in streamed:
            size += len(chunk)
    assert size == 64 << 20


async def test_cancelling_a_reader_closes_the_connection(upstream: Scripted) -> None:
    upstream.script.append(faults.stall(0))
    async with HttpClient(upstream.url) as client:
        streamed = await client.stream(PATH, JSON, BODY)
        reading = asyncio.create_task(anext(streamed))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await upstream.until(lambda seen: seen.exchanges[0].gone)


async def test_an_error_knows_no_engine_status_when_there_was_no_answer(
    client: HttpClient, upstream: Scripted
) -> None:
    upstream.script.append(faults.reset())
    with pytest.raises(EngineError) as caught:
        await client.post(PATH, JSON, BODY)
    assert caught.value.status is None
    assert caught.value.message == f"{upstream.url}: connection reset by peer"
