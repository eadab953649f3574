"""Results on their way: every byte once, whole or not at all."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchyard.client import Arrival, Client, PartFile
from batchyard.client import results as results_module
from batchyard.errors import NotThisApi, ServerUnreachable
from batchyard.wire import MessageBatch
from tests.client.conftest import QuickClock
from tests.client.stub import ROOT, Reply, Stub, batch, error, stub

LINES = b"".join(b'{"custom_id":"r-%d","result":{"type":"canceled"}}\n' % i for i in range(200))
WHERE = f"GET {ROOT}/msgbatch_1/results"


def ended(lines: int = 200) -> MessageBatch:
    return msgspec.convert(batch(status="ended", canceled=lines), MessageBatch)


def cut(at: int) -> Reply:
    """The first `at` bytes of the results, with the length of all."""
    return Reply(body=LINES[:at], length=len(LINES))


async def test_all_lines_arrive_and_are_counted(server: Stub, client: Client) -> None:
    server.on(WHERE, Reply(body=LINES))
    sink = io.BytesIO()
    receipt = await client.results(ended(), sink)
    assert sink.getvalue() == LINES
    assert (receipt.lines, receipt.bytes) == (200, len(LINES))


async def test_the_key_never_goes_to_another_host(server: Stub, client: Client) -> None:
    """The stub's `results_url` names another host; it is not asked."""
    server.on(WHERE, Reply(body=LINES))
    await client.results(ended(), io.BytesIO())
    assert [asked.headers["x-api-key"] for asked in server.asked] == ["sk-secret"]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, len(LINES) - 1), max_size=3))
async def test_wherever_it_breaks_every_byte_comes_once(cuts: list[int]) -> None:
    with stub() as server:
        async with Client(server.url, clock=QuickClock()) as client:
            server.on(WHERE, *map(cut, cuts), Reply(body=LINES))
            sink = io.BytesIO()
            await client.results(ended(), sink)
    assert sink.getvalue() == LINES


def part(first: int, body: bytes) -> Reply:
    """What a server with ranges sends from the byte `first` on."""
    told = f"bytes {first}-{len(LINES) - 1}/{len(LINES)}"
    return Reply(206, body, {"content-range": told}, length=len(LINES) - first)


async def test_a_download_that_broke_off_goes_on_from_there(
    server: Stub, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results_module, "OVERLAP_BYTES", 100)
    server.on(WHERE, cut(1_000), part(900, LINES[900:2_000]), part(1_900, LINES[1_900:]))
    sink = io.BytesIO()
    await client.results(ended(), sink)
    assert sink.getvalue() == LINES
    ranges = [(a.headers.get("range"), a.headers.get("if-range")) for a in server.asked]
    tag = '"msgbatch_1"'
    assert ranges == [(None, None), ("bytes=900-", tag), ("bytes=1900-", tag)]


async def test_a_part_that_does_not_fit_what_came_before_is_refused(
    server: Stub, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results_module, "OVERLAP_BYTES", 100)
    server.on(WHERE, cut(1_000), part(900, b"x" + LINES[901:]))
    with pytest.raises(NotThisApi, match="differ"):
        await client.results(ended(), io.BytesIO())


async def test_another_part_than_was_asked_for_is_refused(
    server: Stub, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results_module, "OVERLAP_BYTES", 100)
    server.on(WHERE, cut(1_000), part(901, LINES[901:]))
    with pytest.raises(NotThisApi, match="bytes 901-"):
        await client.results(ended(), io.BytesIO())


async def test_a_connection_that_keeps_breaking_at_one_place_is_given_up(
    server: Stub, client: Client
) -> None:
    server.on(WHERE, cut(1_000))
    sink = io.BytesIO()
    with pytest.raises(ServerUnreachable):
        await client.results(ended(), sink)
    assert sink.getvalue() == LINES[:1_000]
    assert len(server.asked) == 4


async def test_other_bytes_than_before_are_refused(server: Stub, client: Client) -> None:
    server.on(WHERE, cut(1_000), Reply(body=LINES.replace(b"r-1", b"q-1")))
    with pytest.raises(NotThisApi, match="differ"):
        await client.results(ended(), io.BytesIO())


async def test_fewer_bytes_than_before_are_refused(server: Stub, client: Client) -> None:
    server.on(WHERE, cut(1_000), Reply(body=LINES[:500]))
    with pytest.raises(NotThisApi, match="differ"):
        await client.results(ended(), io.BytesIO())


async def test_a_cleanly_ended_body_with_a_line_too_few_is_refused(
    server: Stub, client: Client
) -> None:
    server.on(WHERE, Reply(body=LINES))
    with pytest.raises(NotThisApi, match="201 results and 200 lines"):
        await client.results(ended(201), io.BytesIO())


async def test_a_last_line_without_its_end_is_a_line(server: Stub, client: Client) -> None:
    server.on(WHERE, Reply(body=LINES[:-1]))
    assert (await client.results(ended(), io.BytesIO())).lines == 200


async def test_what_the_server_refuses_is_told(server: Stub, client: Client) -> None:
    server.on(WHERE, error(404, "not_found_error", "No available results."))
    with pytest.raises(Exception, match="No available results"):
        await client.results(ended(), io.BytesIO())


async def into(client: Client, target: Path) -> int:
    """Fetch into a file as the command line does; returns the bytes that were there already."""
    arrival, file = Arrival(), PartFile(target, "msgbatch_1")
    try:
        kept = file.open(arrival)
        await client.results(ended(), file, arrival=arrival)
        file.keep()
    finally:
        file.close()
    return kept


async def test_a_file_has_its_name_only_when_it_is_whole(
    server: Stub, client: Client, tmp_path: Path
) -> None:
    target = tmp_path / "out.jsonl"
    target.write_text("from before")
    server.on(WHERE, cut(1_000))
    with pytest.raises(ServerUnreachable):
        await into(client, target)
    assert target.read_text() == "from before"

    server.on(WHERE, Reply(body=LINES))
    assert await into(client, target) == 1_000
    assert target.read_bytes() == LINES
    assert list(tmp_path.iterdir()) == [target]


async def test_the_beginning_of_another_batch_is_not_continued(
    server: Stub, client: Client, tmp_path: Path
) -> None:
    target = tmp_path / "out.jsonl"
    (tmp_path / "out.jsonl.msgbatch_2.part").write_bytes(b"something else")
    server.on(WHERE, Reply(body=LINES))
    assert await into(client, target) == 0
    assert target.read_bytes() == LINES
