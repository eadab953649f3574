"""Files of requests: what is sent is what was written, and faults are found before sending."""

from __future__ import annotations

import json
import tracemalloc
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchyard.client import RequestsFile
from batchyard.errors import BadRequestsFile

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=5,
)


def written(folder: Path, *lines: str | bytes) -> Path:
    path = folder / "in.jsonl"
    path.write_bytes(b"\n".join(x.encode() if isinstance(x, str) else x for x in lines))
    return path


async def body_of(file: RequestsFile) -> bytes:
    body = file.body()
    sent = b"".join([chunk async for chunk in body.chunks()])
    assert len(sent) == body.size
    return sent


def line(custom_id: str, **params: Any) -> str:
    return json.dumps({"custom_id": custom_id, "params": params})


@settings(max_examples=60, deadline=None)
@given(
    params=st.lists(st.dictionaries(st.text(max_size=5), VALUES, max_size=3), min_size=1),
    ends=st.sampled_from(["\n", "\r\n", "\n\n", " \n\t\n"]),
    start=st.sampled_from(["", "\ufeff", "\n"]),
    ascii_only=st.booleans(),
)
async def test_what_is_sent_is_what_was_written(
    tmp_path_factory: pytest.TempPathFactory,
    params: list[dict[str, Any]],
    ends: str,
    start: str,
    ascii_only: bool,
) -> None:
    requests = [{"custom_id": f"r-{i}", "params": p} for i, p in enumerate(params)]
    lines = [json.dumps(request, ensure_ascii=ascii_only) for request in requests]
    path = tmp_path_factory.mktemp("file") / "in.jsonl"
    path.write_bytes((start + ends.join(lines)).encode())
    file = RequestsFile(path)
    assert file.requests == len(requests)
    assert json.loads(await body_of(file)) == {"requests": requests}
    assert json.loads(await body_of(file)) == {"requests": requests}, "it can be sent again"


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("nonsense", "not a JSON object"),
        ('["a"]', "not a JSON object"),
        ('{"custom_id": "a", "params": {}', "not a JSON object"),
        ('{"params": {}}', "custom_id is missing"),
        ('{"custom_id": 7, "params": {}}', "custom_id is not a string"),
        ('{"custom_id": "a b", "params": {}}', 'custom_id "a b" does not match'),
        ('{"custom_id": "", "params": {}}', 'custom_id "" does not match'),
        (json.dumps({"custom_id": "x" * 65, "params": {}}), "does not match"),
        ('{"custom_id": "a\\n", "params": {}}', "does not match"),
        ('{"custom_id": "a"}', "params is missing"),
        ('{"custom_id": "a", "params": "text"}', "params is not an object"),
        ('{"custom_id": "a", "params": {}, "mode": 1}', 'unknown field "mode"'),
        (line("ok"), 'custom_id "ok" was used in line 1 already'),
        (b'{"custom_id": "a", "params": {"x": "\xff"}}', "not UTF-8"),
        ("{" * 5_000, "not a JSON object"),
    ],
)
def test_a_fault_names_its_line_and_nothing_is_sent(
    tmp_path: Path, bad: str | bytes, words: str
) -> None:
    path = written(tmp_path, line("ok"), "", bad, line("good"))
    with pytest.raises(BadRequestsFile) as caught:
        RequestsFile(path)
    first, *_, last = caught.value.message.splitlines()
    assert first.startswith(f"{path}:3: ")
    assert words in first
    assert last == "nothing was sent"


def test_many_faults_are_five_lines_and_a_count(tmp_path: Path) -> None:
    with pytest.raises(BadRequestsFile) as caught:
        RequestsFile(written(tmp_path, *["{}"] * 12))
    lines = caught.value.message.splitlines()
    assert len(lines) == 7
    assert lines[5] == "and 7 more lines like these"


@pytest.mark.parametrize(
    ("content", "fix"),
    [
        (json.dumps([json.loads(line("a"))]), "jq -c '.[]' "),
        (json.dumps({"requests": [json.loads(line("a"))]}), "jq -c '.requests[]' "),
        (json.dumps(json.loads(line("a")), indent=1), "jq -c . "),
        (
            '{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{}}',
            "batchyard convert",
        ),
    ],
)
def test_another_format_is_told_how_to_become_this_one(
    tmp_path: Path, content: str, fix: str
) -> None:
    with pytest.raises(BadRequestsFile) as caught:
        RequestsFile(written(tmp_path, content))
    assert caught.value.fix is not None
    assert fix in caught.value.fix


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff", "  "])
def test_a_file_without_requests_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(BadRequestsFile, match="no requests"):
        RequestsFile(written(tmp_path, content))


@pytest.mark.parametrize("after", [[line("a")], [line("a"), line("b"), line("c")]])
async def test_a_file_that_changes_while_it_is_sent_makes_no_batch(
    tmp_path: Path, after: list[str]
) -> None:
    file = RequestsFile(written(tmp_path, line("a"), line("b")))
    written(tmp_path, *after)
    with pytest.raises(BadRequestsFile, match="changed while it was being sent"):
        await body_of(file)


async def test_a_large_file_does_not_pass_through_memory_as_a_whole(tmp_path: Path) -> None:
    path = written(tmp_path, *(line(f"r-{i}", text="x" * 20_000) for i in range(1_000)))
    tracemalloc.start()
    try:
        async for _ in RequestsFile(path).body().chunks():
            pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert path.stat().st_size > 20_000_000
    assert peak < 3_000_000


@settings(max_examples=80, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 60), min_size=1, max_size=20),
    requests_max=st.integers(1, 6),
    bytes_max=st.integers(60, 400),
    ends=st.sampled_from(["\n", "\r\n", "\n\n"]),
    start=st.sampled_from(["", "\ufeff"]),
)
async def test_the_parts_of_a_file_are_the_file_and_within_the_limits(
    tmp_path_factory: pytest.TempPathFactory,
    sizes: list[int],
    requests_max: int,
    bytes_max: int,
    ends: str,
    start: str,
) -> None:
    lines = [line(f"r-{n}", text="x" * size) for n, size in enumerate(sizes)]
    path = tmp_path_factory.mktemp("file") / "in.jsonl"
    path.write_bytes((start + ends.join(lines)).encode())
    parts = RequestsFile.split(path, requests_max, bytes_max)
    bodies = [await body_of(part) for part in parts]
    sent = [json.loads(body)["requests"] for body in bodies]
    assert [one for part in sent for one in part] == [json.loads(text) for text in lines]
    assert [part.requests for part in parts] == [len(part) for part in sent]
    assert all(len(part) <= requests_max for part in sent)
    assert all(
        len(body) <= bytes_max or len(part) == 1 for body, part in zip(bodies, sent, strict=True)
    )
    for before, after in pairwise(sent):
        grown = len(json.dumps(after[0])) + 1
        full = len(before) == requests_max
        assert full or len(bodies[sent.index(before)]) + grown > bytes_max


def test_one_custom_id_in_two_parts_is_a_fault(tmp_path: Path) -> None:
    path = written(tmp_path, line("a"), line("b"), line("a"))
    with pytest.raises(BadRequestsFile, match=r'in.jsonl:3: custom_id "a" was used in line 1'):
        RequestsFile.split(path, 1, 1_000)


async def test_what_is_appended_while_parts_are_sent_is_noticed(tmp_path: Path) -> None:
    path = written(tmp_path, line("a"), line("b"))
    first, last = RequestsFile.split(path, 1, 1_000)
    written(tmp_path, line("a"), line("b"), line("c"))
    assert json.loads(await body_of(first))["requests"] == [json.loads(line("a"))]
    with pytest.raises(BadRequestsFile, match="changed while it was being sent"):
        await body_of(last)
