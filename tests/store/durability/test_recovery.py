"""Reading a result segment back from whatever bytes the disk may hold."""

from __future__ import annotations

import contextlib
import json
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchyard.batches.result import Outcome
from batchyard.errors import Damaged
from batchyard.store import taken
from batchyard.store.recovery import Found, read_results
from batchyard.store.taken import entries, lines, request_line
from tests.store.room import line, numbered

KNOWN = set(numbered(40))
RESULTS = [line(name, "succeeded", "text " * 7) for name in numbered(40)]


class Held:
    """Bytes as a segment."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def read(self, offset: int, length: int) -> bytes:
        return self.data[offset : offset + length]

    def close(self) -> None: ...


def recover(
    data: bytes, durable: int = 0, *, final: bool = False, window: int = 1 << 30
) -> tuple[Found, dict[str, Outcome]]:
    settled: dict[str, Outcome] = {}
    with mock.patch.object(taken, "_WINDOW", window):
        return read_results(Held(data), KNOWN, settled, durable, final=final), settled


def test_a_whole_segment_counts_whole() -> None:
    outcomes: list[Outcome] = ["succeeded", "errored", "canceled", "expired"]
    data = b"".join(line(f"r-{n}", outcome) for n, outcome in enumerate(outcomes))
    found, settled = recover(data)
    assert (found.size, found.salvaged) == (len(data), [])
    assert settled == {f"r-{n}": outcome for n, outcome in enumerate(outcomes)}


@settings(max_examples=200, deadline=None)
@given(count=st.integers(0, 12), cut=st.integers(0, 200), window=st.integers(1, 300))
def test_a_cut_leaves_every_whole_line_and_nothing_of_the_torn_one(
    count: int, cut: int, window: int
) -> None:
    whole = b"".join(RESULTS[:count])
    torn = RESULTS[count][: min(cut, len(RESULTS[count]) - 1)]
    found, settled = recover(whole + torn, window=window)
    assert found.size == len(whole)
    assert list(settled) == numbered(count)


@settings(max_examples=200, deadline=None)
@given(
    count=st.integers(0, 12),
    tail=st.one_of(
        st.binary(max_size=400),
        st.integers(1, 5000).map(bytes),
        st.lists(
            st.sampled_from([b"\n", b"{}\n", b'{"custom_id":"r-1"}\n', b"\x00\n", b"}}\n"])
        ).map(b"".join),
    ),
)
def test_noise_after_whole_lines_counts_for_nothing(count: int, tail: bytes) -> None:
    whole = b"".join(RESULTS[:count])
    found, settled = recover(whole + tail)
    assert found.size == len(whole)
    assert list(settled) == numbered(count)
    assert found.salvaged == []


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_damage_behind_the_recorded_bytes_ends_the_count_at_a_line(data: Any) -> None:
    """Overwrite some bytes anywhere: what counts is exactly the lines before the first one hit."""
    count = data.draw(st.integers(1, 10))
    whole = bytearray(b"".join(RESULTS[:count]))
    at = data.draw(st.integers(0, len(whole) - 1))
    noise = data.draw(st.one_of(st.integers(1, 300).map(bytes), st.binary(min_size=1, max_size=50)))
    before = bytes(whole)
    whole[at : at + len(noise)] = noise
    starts = [sum(map(len, RESULTS[:n])) for n in range(count + 1)]
    found, settled = recover(bytes(whole))
    assert found.size in starts
    lost = next((n for n in range(count) if starts[n + 1] > at), count)
    if bytes(whole[: len(before)]) != before and not _still_a_line(bytes(whole), starts[lost]):
        assert found.size == starts[lost]
    # What is counted is what was written, or a line whose own text alone was changed.
    assert len(settled) == starts.index(found.size)
    assert set(settled) <= KNOWN


def _still_a_line(data: bytes, start: int) -> bool:
    """Whether a changed byte left a valid line: without a checksum nobody can tell."""
    settled: dict[str, Outcome] = {}
    return read_results(Held(data[start:]), KNOWN, settled, 0, final=False).size > 0


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=3000), durable=st.integers(0, 3000), final=st.booleans())
def test_arbitrary_bytes_never_raise_and_never_count(
    data: bytes, durable: int, final: bool
) -> None:
    found, settled = recover(data, durable, final=final)
    assert (found.size, settled) == (0, {})


@settings(max_examples=150, deadline=None)
@given(order=st.lists(st.integers(0, 39), max_size=60))
def test_the_first_line_of_a_request_wins_and_the_next_one_ends_the_count(order: list[int]) -> None:
    data = b"".join(RESULTS[number] for number in order)
    fresh = next((n for n in range(len(order)) if order[n] in order[:n]), len(order))
    found, settled = recover(data)
    assert found.size == sum(len(RESULTS[number]) for number in order[:fresh])
    assert list(settled) == [f"r-{number}" for number in order[:fresh]]


@settings(max_examples=150, deadline=None)
@given(order=st.lists(st.integers(0, 39), max_size=60), durable_lines=st.integers(0, 60))
def test_every_request_in_the_recorded_bytes_is_saved_once_whatever_else_lies_there(
    order: list[int], durable_lines: int
) -> None:
    durable = sum(len(RESULTS[number]) for number in order[:durable_lines])
    data = b"".join(RESULTS[number] for number in order)
    found, settled = recover(data, durable)
    kept = data[: found.size] + b"".join(found.salvaged)
    assert sorted(kept.splitlines(keepends=True)) == sorted(RESULTS[int(n[2:])] for n in settled)
    assert set(settled) >= {f"r-{number}" for number in order[:durable_lines]}


def test_lines_of_no_request_of_the_shard_do_not_count() -> None:
    data = RESULTS[0] + line("stranger") + RESULTS[1]
    found, settled = recover(data)
    assert (found.size, list(settled)) == (len(RESULTS[0]), ["r-0"])
    found, settled = recover(data, durable=len(data))
    assert (found.size, found.salvaged) == (len(RESULTS[0]), [RESULTS[1]])


@pytest.mark.parametrize("at", [30, 80])
@pytest.mark.parametrize("noise", [b"\x00", b"\xff", b"\n", b"\xed\xa0\x80", b"\x1f"])
def test_a_line_with_bytes_no_json_text_holds_does_not_count(at: int, noise: bytes) -> None:
    """The parser skips over strings it does not need: zeros and broken UTF-8 must not slip by."""
    bad = RESULTS[1][:at] + noise + RESULTS[1][at + len(noise) :]
    found, settled = recover(RESULTS[0] + bad + RESULTS[2])
    assert (found.size, list(settled)) == (len(RESULTS[0]), ["r-0"])


def test_a_closed_segment_counts_to_its_record_and_no_further() -> None:
    data = b"".join(RESULTS[:5])
    three = sum(map(len, RESULTS[:3]))
    found, settled = recover(data, durable=three, final=True)
    assert (found.size, list(settled)) == (three, numbered(3))
    found, _ = recover(data, durable=three - 1, final=True)
    assert found.size == sum(map(len, RESULTS[:2]))


def test_the_last_segment_counts_beyond_its_record() -> None:
    data = b"".join(RESULTS[:5])
    found, settled = recover(data + b"torn", durable=len(RESULTS[0]))
    assert (found.size, list(settled)) == (len(data), numbered(5))


# -- request segments -----------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(
    names=st.lists(st.from_regex(r"\A[a-zA-Z0-9_-]{1,64}\Z"), max_size=20),
    texts=st.lists(st.text(), min_size=1),
    window=st.integers(1, 200),
)
def test_what_a_plan_writes_is_read_back_to_the_byte(
    names: list[str], texts: list[str], window: int
) -> None:
    params = [json.dumps({"x": texts[n % len(texts)]}, ensure_ascii=n % 2 == 0) for n in range(20)]
    sent = [(name, params[n].encode("utf-8", "replace")) for n, name in enumerate(names)]
    data = b"".join(request_line(name, each) for name, each in sent)
    with mock.patch.object(taken, "_WINDOW", window):
        found = entries(Held(data))
    assert [(e.custom_id, data[e.offset : e.offset + e.length]) for e in found] == sent


@pytest.mark.parametrize("cut", [3, 5, 20, 27])
def test_a_request_segment_that_is_cut_lacks_its_last_line(cut: int) -> None:
    """One line less is for the taker to notice: it knows how many there should be."""
    data = request_line("r-1", b"{}") + request_line("r-2", b"{}")
    assert [entry.custom_id for entry in entries(Held(data[:-cut]))] == ["r-1"]
    with pytest.raises(Damaged):
        entries(Held(data[:-cut] + b"\n"))


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, 79), byte=st.integers(0, 255))
def test_a_request_segment_with_a_wrong_byte_reads_or_is_told_damaged(at: int, byte: int) -> None:
    data = bytearray(request_line("r-1", b'{"a":1}') + request_line("r-2", b'{"b":"longer"}'))
    data[at % len(data)] = byte
    with contextlib.suppress(Damaged):
        entries(Held(bytes(data)))


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=300), window=st.integers(1, 50))
def test_lines_cover_every_byte_once(data: bytes, window: int) -> None:
    with mock.patch.object(taken, "_WINDOW", window):
        found = list(lines(Held(data)))
    assert b"".join(each for _, each in found) == data
    assert all(data[at : at + len(each)] == each for at, each in found)
    assert all(each.count(b"\n") == each.endswith(b"\n") for _, each in found)


@pytest.mark.parametrize(
    "noise",
    [b'{"custom_id":"a"}\n', b"x}\n", b"}}\n", b'{"custom_id":"r","params":}}\n',
     b'{"custom_id":"r","params":{}\n', b'{"custom_id":"r","paramz":{}}\n'],
)  # fmt: skip
def test_a_line_that_no_plan_wrote_is_told_damaged_and_not_read(noise: bytes) -> None:
    with pytest.raises(Damaged):
        entries(Held(request_line("r-1", b"{}") + noise))
