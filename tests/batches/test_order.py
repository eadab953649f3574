"""The order in which a batch is asked: a sort by what the engine reads first, in little memory."""

from __future__ import annotations

import json
import random
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchyard.batches import order
from batchyard.batches.order import Outline, prefix_order
from batchyard.batches.request import Entry

NUL = b"\0"


def outline_of(*requests: bytes) -> Outline:
    """The outline of a made-up body of nothing but params, `r0`, `r1`, … by custom_id."""
    body, at = b"".join(requests), 0
    outline = Outline(lambda offset, size: body[offset : offset + size])
    for number, params in enumerate(requests):
        outline.add(Entry(f"r{number}", at, len(params)), params)
        at += len(params)
    return outline


def sorted_by(keys: list[bytes], **how: Any) -> tuple[list[int], list[int]]:
    found, shared = prefix_order(
        range(len(keys)), lambda number, depth, size: keys[number][depth : depth + size], **how
    )
    return list(found), list(shared)


def key_of(params: bytes) -> bytes:
    outline = outline_of(params)
    return outline.read_key(0, 0, 1 << 20)


# -- the key ---------------------------------------------------------------------------------------


def test_the_key_is_tools_system_messages_as_sent() -> None:
    params = b'{"model":"m","messages": [{"role" :"user"}],"system":"S","x":1,"tools":[ 1]}'
    assert key_of(params) == b"[ 1]" + NUL + b'"S"' + NUL + b'[{"role" :"user"}]'


@pytest.mark.parametrize(
    ("params", "key"),
    [
        (b"{}", b"\0\0"),
        (b'{"messages":[]}', b"\0\0[]"),
        (b'{"system":"S"}', b'\0"S"\0'),
        (b'{"tools":[1],"system":null,"messages":5}', b"[1]\0null\x005"),
        (b'{"messages":' + b"[" * 5_000 + b"]" * 5_000 + b"}", b"\0\0"),
    ],
)
def test_what_is_left_out_takes_no_room(params: bytes, key: bytes) -> None:
    assert key_of(params) == key


@pytest.mark.parametrize(
    "model",
    [b"1e400", b"9" * 5_000, b"-1e999", b"[1e400]", b"7", b"null", b"[" * 5_000 + b"]" * 5_000],
)
def test_a_model_that_is_no_name_stands_among_those_without_one(model: bytes) -> None:
    odd = b'{"max_tokens":1,"model":' + model + b"}"
    assert outline_of(odd, b'{"model":"m"}').by_model() == [("", [0]), ("m", [1])]


def test_the_order_of_the_fields_of_params_does_not_matter() -> None:
    fields = {"tools": [1], "system": "S", "messages": [{"role": "user"}], "max_tokens": 1}
    chance = random.Random(5)
    written = {
        key_of(json.dumps(dict(chance.sample(list(fields.items()), 4))).encode()) for _ in range(20)
    }
    assert len(written) == 1


@given(
    parts=st.tuples(*[st.sampled_from([b"", b'""', b'"long text"', b"[1,2]"])] * 3),
    depth=st.integers(0, 30),
    size=st.integers(0, 30),
)
def test_any_part_of_a_key_reads_as_cut_from_the_whole(
    parts: tuple[bytes, ...], depth: int, size: int
) -> None:
    named = zip((b"tools", b"system", b"messages"), parts, strict=True)
    params = b"{" + b",".join(b'"%b":%b' % (name, part) for name, part in named if part) + b"}"
    outline = outline_of(b"{}", params)
    assert outline.read_key(1, depth, size) == NUL.join(parts)[depth : depth + size]


def test_an_outline_gives_back_what_it_was_told() -> None:
    requests = [
        b'{"model":"b"}',
        b'{"model":"a","max_tokens":5}',
        b'{"model":7}',
        b"{}",
        b'{"model":"\\u0062"}',
    ]
    outline = outline_of(*requests)
    assert len(outline) == 5
    assert outline.by_model() == [("", [2, 3]), ("a", [1]), ("b", [0, 4])]
    assert outline.entry(1) == Entry("r1", len(requests[0]), len(requests[1]))
    line = b'{"custom_id":"r1","params":' + requests[1] + b"}\n"
    assert outline.line_size(1) == len(line)


# -- the sort --------------------------------------------------------------------------------------


def common(one: bytes, other: bytes) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


keys_that_share = st.lists(
    st.lists(
        st.sampled_from([b"a", b"b", b"abc" * 40, b"x" * 300, b"\0", b"\xff"]), max_size=6
    ).map(b"".join),
    max_size=40,
)


@settings(max_examples=200, deadline=None)
@given(keys=keys_that_share, memory=st.sampled_from([1, 500, 5_000, 1 << 20]))
def test_the_order_is_that_of_the_full_keys(keys: list[bytes], memory: int) -> None:
    found, shared = sorted_by(keys, memory=memory)
    assert found == sorted(range(len(keys)), key=keys.__getitem__)
    in_order = [keys[number] for number in found]
    assert shared == [
        0 if not place else common(in_order[place - 1], in_order[place])
        for place in range(len(in_order))
    ]


@pytest.mark.parametrize("probe", [0, 8, 4096])
@pytest.mark.parametrize("at_once", [16, 4096])
def test_neither_probing_nor_dealing_changes_the_order(probe: int, at_once: int) -> None:
    chance = random.Random(probe + at_once)
    prompts = [b"You are %d. " % number * 30 for number in range(5)]
    keys = [
        b"[]" + chance.choice(prompts) + b"%d" % chance.randrange(300) * chance.randrange(1, 200)
        for _ in range(2_000)
    ]
    with patch.object(order, "_PROBE", probe), patch.object(order, "_SORTED_AT_ONCE", at_once):
        found, shared = sorted_by(keys, memory=64_000)
    assert found == sorted(range(len(keys)), key=keys.__getitem__)
    assert sum(shared) == sum(common(keys[one], keys[other]) for one, other in pairwise(found))


def test_equal_requests_keep_the_order_in_which_they_came() -> None:
    keys = [b"same" * 5_000 if number % 3 else b"other" for number in range(30)]
    found, shared = sorted_by(keys, memory=10_000)
    assert found == [*range(0, 30, 3), *(number for number in range(30) if number % 3)]
    assert shared == [0, *[5] * 9, 0, *[20_000] * 19]


def test_one_prompt_for_all_is_read_about_once() -> None:
    prompt, count = b"p" * 20_000, 500
    keys = [prompt + b"%d" % (number * 7919) for number in range(count)]
    asked = 0

    def read_key(number: int, depth: int, size: int) -> bytes:
        nonlocal asked
        found = keys[number][depth : depth + size]
        asked += len(found)
        return found

    found, _ = prefix_order(range(count), read_key, memory=100_000)
    assert list(found) == sorted(range(count), key=keys.__getitem__)
    assert asked < 1.3 * count * len(prompt)


def test_where_nothing_is_shared_each_key_is_looked_at_about_once() -> None:
    keys = [b"%06d" % (number * 7919 % 1_000_003) * 20 for number in range(500)]
    looks = 0

    def read_key(number: int, depth: int, size: int) -> bytes:
        nonlocal looks
        looks += 1
        return keys[number][depth : depth + size]

    found, _ = prefix_order(range(len(keys)), read_key, memory=50_000)
    assert list(found) == sorted(range(len(keys)), key=keys.__getitem__)
    assert looks < 1.1 * len(keys)


def test_no_more_than_the_memory_is_held_at_once() -> None:
    held = 0
    keys = [b"%09d" % (number * 7919 % 10_007) * 500 for number in range(2_000)]

    def read_key(number: int, depth: int, size: int) -> bytes:
        nonlocal held
        held = max(held, size)
        return keys[number][depth : depth + size]

    found, _ = prefix_order(range(len(keys)), read_key, memory=1_000_000)
    assert list(found) == sorted(range(len(keys)), key=keys.__getitem__)
    assert held == 4096  # the probe reads one key at a time; blocks are a 2,000th of the memory


def test_nothing_and_one_are_in_order() -> None:
    assert sorted_by([]) == ([], [])
    assert sorted_by([b"x"]) == ([0], [0])
