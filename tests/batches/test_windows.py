"""A body read in windows: whatever their size and the writing, it reads as JSON says it does."""

from __future__ import annotations

import json
import random
import re
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchyard.batches import envelope, jsontext, windows
from batchyard.errors import InvalidRequest
from tests.batches.documents import accepted, damaged, document
from tests.batches.test_envelope import BODY, NOT_JSON, REQUEST, asked, listed, of, reader, refusal


@contextmanager
def small(window: int) -> Iterator[None]:
    """Everything is read in pieces that short bodies do not fit into."""
    pieces = patch.object(windows, "_TAIL", 64), patch.object(jsontext, "_PIECE", 20)
    with patch.object(windows, "WINDOW", window), pieces[0], pieces[1]:
        yield


@pytest.fixture(params=[16, 17, 100, 5_000])
def small_windows(request: pytest.FixtureRequest) -> Iterator[None]:
    with small(request.param):
        yield


@pytest.mark.usefixtures("small_windows")
def test_a_fault_far_into_the_body_is_counted_from_its_start() -> None:
    good = [asked(f"r{number}", text="x" * number) for number in range(200)]
    assert refusal(of(*good, {"params": {}})) == "requests.200.custom_id: Field required"
    assert refusal(of(*good, {"custom_id": "b", "params": 5})).startswith("requests.200.params: ")
    broken = of(*good, asked("b", text="HERE")).replace(b'"HERE"', b"HERE")
    place = broken.index(b"HERE")
    assert refusal(broken) == f"{NOT_JSON}invalid character (byte {place})"
    wrong = of(*good, asked("b", text="HERE")).replace(b"HERE", b"\xff")
    assert refusal(wrong) == f"{NOT_JSON}invalid UTF-8 (byte {place + 1})"


@pytest.mark.usefixtures("small_windows")
@pytest.mark.parametrize("name", ["a b", "é", "b\n", "b.", "日本語"])
def test_a_name_that_is_none_is_found_among_many(name: str) -> None:
    many = [asked(f"r{number}", text="x" * number) for number in range(200)]
    many[100]["custom_id"] = name
    assert refusal(of(*many)).startswith("requests.100.custom_id: String should match pattern")


@pytest.mark.usefixtures("small_windows")
def test_text_that_looks_like_the_start_of_an_entry_misleads_nobody() -> None:
    inner = [asked(f"n{number}", deeper=[asked("x"), asked("y")]) for number in range(40)]
    body = of(asked("a", inner=inner), asked("b", text=',{"custom_id":'), asked("c", inner=inner))
    assert [entry.custom_id for entry in listed(body)] == ["a", "b", "c"]


@pytest.mark.usefixtures("small_windows")
def test_what_follows_the_list_is_not_taken_for_entries() -> None:
    more = b',"x":[1' + b',{"params":2}' * 900 + b"]}"
    assert refusal(BODY[:-1] + more) == "x: Extra inputs are not permitted"


def test_a_fault_at_the_start_is_told_without_reading_on() -> None:
    body = of({"id": "a"}, *(asked(f"r{number}", text="x" * 1_000) for number in range(5_000)))
    seen = 0

    def read(offset: int, size: int) -> bytes:
        nonlocal seen
        seen = max(seen, offset + size)
        return body[offset : offset + size]

    with pytest.raises(InvalidRequest):
        envelope.check(read, 100_000)
    assert seen < 3 * windows.WINDOW < len(body)


# -- the law ---------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 40), window=st.integers(16, 3_000))
def test_whatever_the_writing_the_entries_are_those_json_sees(
    seed: int, count: int, window: int
) -> None:
    body = document(random.Random(seed), count)
    expected = accepted(body)
    assert expected is not None
    with small(window):
        assert envelope.check(reader(body), 100) == count
        found = listed(body)
    assert [
        (entry.custom_id, json.loads(body[entry.offset : entry.offset + entry.length]))
        for entry in found
    ] == expected


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 12), window=st.integers(16, 800))
def test_a_damaged_body_is_taken_exactly_when_json_and_the_rules_take_it(
    seed: int, count: int, window: int
) -> None:
    chance = random.Random(seed)
    body = damaged(chance, document(chance, count))
    expected = accepted(body)
    with small(window):
        if expected is None:
            refusal(body)
        else:
            assert envelope.check(reader(body), 100) == len(expected)
            found = listed(body)
            assert [
                (entry.custom_id, json.loads(body[entry.offset : entry.offset + entry.length]))
                for entry in found
            ] == expected


@settings(max_examples=300, deadline=None)
@given(
    custom_id=st.one_of(
        st.text(max_size=70),
        st.text("abzAZ09_- .\n", max_size=70),
        st.from_regex(r"\A[a-zA-Z0-9_-]{1,64}\Z"),
        st.integers(60, 70).map(lambda length: "x" * length),
    ),
    escaped=st.booleans(),
)
def test_a_custom_id_is_taken_exactly_when_the_pattern_takes_it(
    custom_id: str, escaped: bool
) -> None:
    entry = json.dumps(asked(custom_id), ensure_ascii=escaped)
    body = f'{{"requests":[{entry}]}}'.encode("utf-8", "surrogatepass")
    if re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", custom_id):
        assert [entry.custom_id for entry in listed(body)] == [custom_id]
        assert envelope.check(reader(body), 1) == 1
    else:
        assert refusal(body)


def test_the_memory_of_a_check_is_a_few_windows_and_eight_bytes_a_request() -> None:
    body = of(*(asked(f"r{number}", text="x" * 500) for number in range(40_000)))
    tracemalloc.start()
    try:
        envelope.check(reader(body), 100_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6 * windows.WINDOW + 3 * 8 * 40_000 < len(body) / 8


# -- a body that is still arriving -----------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(1, 25),
    window=st.integers(16, 900),
    whole=st.booleans(),
)
def test_however_a_body_arrives_the_verdict_is_that_on_the_whole(
    seed: int, count: int, window: int, whole: bool
) -> None:
    """A check resumed after every few bytes says what it says of a body that is all there."""
    chance = random.Random(seed)
    body = document(chance, count)
    if not whole:
        body = damaged(chance, body)
    with small(window):
        assert arrived(body, chance) == told(lambda: envelope.check(reader(body), 100))


@pytest.mark.parametrize("seed", range(8))
def test_white_space_that_arrives_slowly_is_no_end(seed: int) -> None:
    space = b" " * 700
    tokens = [b"{", b'"requests"', b":", b"[", REQUEST, b"]", b"}", b""]
    body = space + space.join(tokens)
    with small(100):
        assert arrived(body, random.Random(seed)) == 1
        odd = body.rstrip() + space + b"x"
        assert "more after its end" in str(arrived(odd, random.Random(seed)))


def arrived(body: bytes, chance: random.Random) -> int | str:
    """The verdict on a body of which more is there at every step, and nothing else can be read."""
    there, complete = 0, False

    def read(offset: int, size: int) -> bytes:
        return body[:there][offset : offset + size]

    steps = envelope.checking(read, lambda upto: complete or upto <= there, 100)

    def verdict() -> int:
        nonlocal there, complete
        while True:
            try:
                next(steps)
            except StopIteration as ended:
                return int(ended.value)
            assert not complete, "it waits for more when all is there"
            if there == len(body):
                complete = True
            there = min(len(body), there + chance.randrange(400))

    return told(verdict)


def told(verdict: Callable[[], int]) -> int | str:
    try:
        return verdict()
    except InvalidRequest as refused:
        return refused.message
