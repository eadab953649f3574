"""Values that follow a schema: every keyword the simulator knows, checked from outside."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.engines.simulator.schema import Filler


def filled(schema: dict[str, Any], text: str = "a plain text", seed: int = 1) -> Any:
    return Filler(schema, text, text.split(), seed).value()


def follows(value: Any, schema: dict[str, Any]) -> Any:
    """Whether `value` keeps `schema`, for the keywords the tests use."""
    kinds: dict[str, type] = {
        "string": str,
        "integer": int,
        "boolean": bool,
        "array": list,
        "object": dict,
    }
    if "enum" in schema:
        return value in schema["enum"]
    if "anyOf" in schema:
        return any(follows(value, one) for one in schema["anyOf"])
    kind = schema["type"]
    if kind == "null":
        return value is None
    if kind == "number":
        return isinstance(value, (int, float)) and _within(value, schema)
    if not isinstance(value, kinds[kind]) or (kind == "integer" and isinstance(value, bool)):
        return False
    if kind == "integer":
        return _within(value, schema)
    if kind == "string":
        return schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 10**6)
    if kind == "array":
        fits = schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", 10**6)
        return fits and all(follows(item, schema["items"]) for item in value)
    if kind == "object":
        named = set(value) == set(schema["properties"])
        return named and all(follows(value[n], s) for n, s in schema["properties"].items())
    return True


def _within(value: float, schema: dict[str, Any]) -> bool:
    return bool(schema.get("minimum", value) <= value <= schema.get("maximum", value))


_leaves = st.one_of(
    st.just({"type": "boolean"}),
    st.just({"type": "null"}),
    st.just({"enum": ["one", "two", 3, None]}),
    st.builds(
        lambda kind, low, span: {"type": kind, "minimum": low, "maximum": low + span},
        st.sampled_from(["integer", "number"]),
        st.integers(-1000, 1000),
        st.integers(0, 50),
    ),
    st.builds(
        lambda least, span: {"type": "string", "minLength": least, "maxLength": least + span},
        st.integers(0, 40),
        st.integers(0, 40),
    ),
)
_schemas = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        st.builds(
            lambda items, least, span: {
                "type": "array",
                "items": items,
                "minItems": least,
                "maxItems": least + span,
            },
            inner,
            st.integers(0, 3),
            st.integers(0, 3),
        ),
        st.builds(
            lambda properties: {"type": "object", "properties": properties},
            st.dictionaries(st.text(min_size=1, max_size=5), inner, max_size=4),
        ),
        st.builds(lambda options: {"anyOf": options}, st.lists(inner, min_size=1, max_size=3)),
    ),
    max_leaves=8,
)


@given(_schemas, st.integers(0, 2**64 - 1))
def test_a_value_follows_its_schema(schema: dict[str, Any], seed: int) -> None:
    value = filled(schema, seed=seed)
    assert follows(value, schema)
    assert msgspec.json.decode(msgspec.json.encode(value)) == value


@given(
    st.recursive(
        st.text() | st.integers() | st.none(),
        lambda i: (
            st.lists(i)
            | st.dictionaries(
                st.sampled_from(
                    ["type", "items", "properties", "enum", "$ref", "allOf", "minimum"]
                ),
                i,
            )
        ),
    )
)
def test_what_is_no_schema_does_no_harm(schema: Any) -> None:  # fmt: skip
    filled(schema if isinstance(schema, dict) else {"items": schema})


def test_references_are_followed() -> None:
    schema = {
        "type": "object",
        "properties": {"home": {"$ref": "#/$defs/place"}},
        "$defs": {"place": {"type": "object", "properties": {"city": {"const": "Oslo"}}}},
    }
    assert filled(schema) == {"home": {"city": "Oslo"}}


def test_a_schema_that_contains_itself_ends() -> None:
    node = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "next": {"$ref": "#"}},
        "required": ["name"],
    }
    value = filled(node)
    depth = 0
    while "next" in value:
        value, depth = value["next"], depth + 1
    assert 3 < depth < 30
    assert filled({"$ref": "#"}) is not None


def test_a_schema_that_branches_into_itself_ends_soon() -> None:
    branches = {str(number): {"$ref": "#"} for number in range(9)}
    assert len(msgspec.json.encode(filled({"type": "object", "properties": branches}))) < 100_000


def test_a_schema_merged_with_itself_ends() -> None:
    schema = {"type": "object", "allOf": [{"$ref": "#"}, {"$ref": "#"}, {"properties": {"a": {}}}]}
    assert list(filled(schema)) == ["a"]


def test_all_of_is_joined() -> None:
    schema = {
        "allOf": [
            {"type": "object", "properties": {"a": {"const": 1}}},
            {"properties": {"b": {"const": 2}}},
        ]
    }
    assert filled(schema) == {"a": 1, "b": 2}


@pytest.mark.parametrize("form", ["date", "date-time", "email", "uri", "uuid"])
def test_formats_are_real_ones(form: str) -> None:
    first = filled({"type": "string", "format": form})
    assert first == filled({"type": "string", "format": form}, seed=2)
    assert len(first) >= 10


def test_multiples_stay_in_their_bounds() -> None:
    for seed in range(50):
        value = filled({"type": "integer", "minimum": 3, "maximum": 30, "multipleOf": 5}, seed=seed)
        assert value % 5 == 0
        assert 3 <= value <= 30


def test_exclusive_bounds_exclude() -> None:
    schema = {"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 5}
    assert {filled(schema, seed=seed) for seed in range(30)} == {4}


@pytest.mark.parametrize(
    ("labels", "text", "label"),
    [
        (["positive", "negative"], "I love it", "positive"),
        (["positive", "negative"], "It is not good at all, broken", "negative"),
        (["neutral", "positive", "negative"], "It has four legs", "neutral"),
        (["sports", "politics", "food"], "The politics of the day", "politics"),
        ([True, False], "x", True),
    ],
)
def test_a_label_is_picked_by_sense(labels: list[Any], text: str, label: Any) -> None:
    picked = {filled({"enum": labels}, text, seed) for seed in range(20)}
    assert label in picked
    assert len(picked) == 1 or labels == [True, False]
