"""Parts of the results: `Range` and its conditions, exactly as RFC 9110 has them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.api.results.wanted import Part, is_known, part
from tests.api.conftest import Server

TAG = '"msgbatch_1"'


def asked(text: str, size: int = 100, if_range: str | None = None) -> Part | None:
    return part([text], if_range, size, TAG)


@pytest.mark.parametrize(
    ("text", "first", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=10-", 10, 100),
        ("bytes=-1", 99, 100),
        ("bytes=-1000", 0, 100),
        ("bytes=99-1000", 99, 100),
        ("BYTES=5-5", 5, 6),
        ("bytes= 5-6 ", 5, 7),
        (f"bytes=0-{'9' * 400}", 0, 100),
    ],
)
def test_a_single_range_is_that_part(text: str, first: int, end: int) -> None:
    assert asked(text) == Part(first, end)


@pytest.mark.parametrize("text", ["bytes=100-", "bytes=100-200", "bytes=-0", f"bytes={'9' * 400}-"])
def test_a_range_without_a_byte_is_empty(text: str) -> None:
    found = asked(text)
    assert found is not None
    assert found.empty


@pytest.mark.parametrize(
    "text",
    ["", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=5-4", "bytes=1-2,4-5", "bytes=1-2,",
     "lines=1-2", "bytes=+1-2", "bytes=1-2-3", "bytes=0x1-2", "bytes=\u0661-\u0662", "bytes=--1"],
)  # fmt: skip
def test_several_ranges_and_what_is_none_mean_everything(text: str) -> None:
    assert asked(text) is None


def test_two_range_headers_mean_everything() -> None:
    assert part(["bytes=0-1", "bytes=2-3"], None, 100, TAG) is None


@pytest.mark.parametrize(
    ("if_range", "taken"),
    [(TAG, True), (f"W/{TAG}", False), ('"msgbatch_2"', False), ("msgbatch_1", False),
     ("Wed, 25 Nov 2026 00:00:00 GMT", False)],
)  # fmt: skip
def test_a_range_is_only_taken_of_what_if_range_names(if_range: str, taken: bool) -> None:
    assert (asked("bytes=1-2", if_range=if_range) is not None) is taken


@pytest.mark.parametrize(
    ("values", "known"),
    [([TAG], True), ([f"W/{TAG}"], True), (["*"], True), (['"a", ' + TAG], True),
     (['"a"', TAG], True), (["msgbatch_1"], False), (['"a"'], False), ([], False)],
)  # fmt: skip
def test_what_the_reader_has_already_is_known(values: list[str], known: bool) -> None:
    assert is_known(values, TAG) is known


@given(st.text(alphabet="bytes=-,0123456789 \t", max_size=20), st.integers(0, 50))
def test_whatever_is_asked_the_part_lies_within(text: str, size: int) -> None:
    found = asked(text, size)
    assert found is None or found.empty or 0 <= found.first < found.end <= size


async def test_parts_put_together_are_the_whole(server: Server) -> None:
    path = f"/v1/messages/batches/{await server.ended(5)}/results"
    whole = await server.client.get(path)
    size = len(whole.content)
    assert whole.headers["accept-ranges"] == "bytes"
    middle = size // 3
    pieces = []
    for text in (f"bytes=0-{middle - 1}", f"bytes={middle}-{size - 8}", "bytes=-7"):
        answer = await server.client.get(path, headers={"range": text})
        assert answer.status_code == 206
        assert answer.headers["content-length"] == str(len(answer.content))
        assert answer.headers["etag"] == whole.headers["etag"]
        assert answer.headers["content-type"] == "application/x-jsonl"
        pieces.append((answer.headers["content-range"], answer.content))
    assert b"".join(content for _, content in pieces) == whole.content
    assert [told for told, _ in pieces] == [
        f"bytes 0-{middle - 1}/{size}",
        f"bytes {middle}-{size - 8}/{size}",
        f"bytes {size - 7}-{size - 1}/{size}",
    ]


async def test_a_range_beyond_the_end_is_refused_with_the_size(server: Server) -> None:
    path = f"/v1/messages/batches/{await server.ended()}/results"
    size = (await server.client.head(path)).headers["content-length"]
    answer = await server.client.get(path, headers={"range": f"bytes={size}-"})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{size}"
    assert answer.json()["error"]["details"] == {"error_code": "range_not_satisfiable"}


async def test_head_tells_the_whole_and_takes_no_range(server: Server) -> None:
    batch_id = await server.ended()
    path = f"/v1/messages/batches/{batch_id}/results"
    whole = await server.client.get(path)
    answer = await server.client.head(path, headers={"range": "bytes=0-0"})
    assert (answer.status_code, answer.content) == (200, b"")
    for name in ("content-length", "content-type", "accept-ranges", "etag"):
        assert answer.headers[name] == whole.headers[name]
    assert answer.headers["etag"] == f'"{batch_id}"'


async def test_results_that_the_reader_has_are_not_sent_again(server: Server) -> None:
    batch_id = await server.ended()
    path = f"/v1/messages/batches/{batch_id}/results"
    headers = {"if-none-match": f'"{batch_id}"', "range": "bytes=0-1"}
    answer = await server.client.get(path, headers=headers)
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["etag"] == f'"{batch_id}"'
    assert "content-length" not in answer.headers


async def test_a_range_of_another_tag_gets_everything(server: Server) -> None:
    path = f"/v1/messages/batches/{await server.ended()}/results"
    headers = {"if-range": '"another"', "range": "bytes=5-"}
    answer = await server.client.get(path, headers=headers)
    assert (answer.status_code, answer.content) == (200, (await server.client.get(path)).content)
    assert "content-range" not in answer.headers


async def test_before_the_end_a_range_is_not_found_either(server: Server) -> None:
    path = f"/v1/messages/batches/{await server.create()}/results"
    assert (await server.client.get(path, headers={"range": "bytes=0-"})).status_code == 404
