"""Cursors and limits of a list call: a page, or the name of the parameter that is wrong."""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import urlencode

from hypothesis import given, settings
from hypothesis import strategies as st

from batchyard.api.batches import page_query
from batchyard.api.call import Call
from batchyard.api.catalogue import _window
from batchyard.engine import Model
from batchyard.errors import InvalidRequest

CURSORS = st.one_of(st.just(""), st.sampled_from(["msgbatch_01", "../x", "\0", "a&b=c"]), st.text())
LIMITS = st.one_of(
    st.integers(-5, 1_100).map(str),
    st.sampled_from(["", "+5", " 5", "5 ", "1_0", "٣", "0x5", "1e2", "5.0", "-0", "9" * 5_000]),
    st.text(max_size=5),
)
MODELS = [Model(f"m{number}") for number in range(12)]


def call(query: bytes) -> Call:
    return Call({"type": "http", "method": "GET", "query_string": query, "headers": []})


@settings(max_examples=400, deadline=None)
@given(limit=LIMITS, after_id=CURSORS, before_id=CURSORS)
def test_a_limit_and_cursors_are_read_or_refused_by_name(
    limit: str, after_id: str, before_id: str
) -> None:
    asked = {"limit": limit, "after_id": after_id, "before_id": before_id, "beta": "true"}
    pairs = {name: value.encode("utf-8", "surrogatepass") for name, value in asked.items()}
    try:
        found = page_query(call(urlencode(pairs).encode()))
    except InvalidRequest as refused:
        name = refused.message.partition(":")[0]
    else:
        name = ""
        assert found[0] == (int(limit) if limit else 20)
        assert limit.removeprefix("-").isascii()
    both = bool(after_id and before_id)
    plain = limit.isascii() and limit.isdecimal() and 1 <= int(limit[:19]) <= 1_000
    assert name == ("after_id" if both else "" if plain or not limit else "limit")


@settings(max_examples=300, deadline=None)
@given(
    query=st.one_of(st.binary(max_size=80), st.text("%&=ab01limt_fre", max_size=60).map(str.encode))
)
def test_any_query_is_read_or_refused(query: bytes) -> None:
    with suppress(InvalidRequest):
        limit, after_id, before_id = page_query(call(query))
        assert 1 <= limit <= 1_000
        assert not (after_id and before_id)


@given(limit=st.integers(1, 15), count=st.integers(0, 12))
def test_pages_of_models_in_either_direction_show_every_model_once(limit: int, count: int) -> None:
    models = MODELS[:count]
    onward, cursor = list[Model](), None
    while True:
        start, end = _window(models, limit, cursor, None)
        onward += models[start:end]
        if end >= count:
            break
        cursor = models[end - 1].id
    assert onward == models
    back, cursor = list[Model](), models[-1].id if models else None
    while cursor is not None:
        start, end = _window(models, limit, None, cursor)
        back = models[start:end] + back
        cursor = models[start].id if start > 0 else None
    assert back == models[:-1]
