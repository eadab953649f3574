"""Schemas as people give them: the short form, JSON Schema, files, classes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.errors import BadPrompt
from batchyard.pipeline.prompt.schema.fit import RULE_CHARACTERS_MAX, Fit
from batchyard.pipeline.prompt.schema.given import json_schema, properties
from batchyard.pipeline.prompt.schema.short import schema_of
from tests.pipeline.prompt.asking import told


class Person(pydantic.BaseModel):
    name: str
    children: list[Person] = []


class Review(pydantic.BaseModel):
    sentiment: str
    author: Person
    counts: dict[str, int] = {}


@pytest.mark.parametrize(
    ("field", "name", "schema"),
    [
        ("reason str", "reason", {"type": "string"}),
        ("reason", "reason", {"type": "string"}),
        ("score int", "score", {"type": "integer"}),
        ("price: float", "price", {"type": "number"}),
        ("ok bool", "ok", {"type": "boolean"}),
        ("tags list[str]", "tags", {"type": "array", "items": {"type": "string"}}),
        ("tags list", "tags", {"type": "array", "items": {"type": "string"}}),
        ("a b|c", "a", {"type": "string", "enum": ["b", "c"]}),
        ("a: in stock|sold out", "a", {"type": "string", "enum": ["in stock", "sold out"]}),
        ("stars 1|2|3", "stars", {"type": "integer", "enum": [1, 2, 3]}),
        ("k list[a|b]", "k", {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}}),
        ("m list[list[int]]", "m",
         {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}}),
        ("über-größe int", "über-größe", {"type": "integer"}),
        ("age int - in years", "age", {"type": "integer", "description": "in years"}),
        ("age - in years", "age", {"type": "string", "description": "in years"}),
    ],
)  # fmt: skip
def test_a_field_in_short_form(field: str, name: str, schema: dict[str, Any]) -> None:
    assert schema_of(field) == {
        "type": "object",
        "properties": {name: schema},
        "required": [name],
        "additionalProperties": False,
    }


@pytest.mark.parametrize("field", ["note str?", "note?", "note: str ?"])
def test_a_field_with_a_question_mark_may_be_null_or_left_out(field: str) -> None:
    schema = schema_of(f"{field}, a")
    assert schema["properties"]["note"] == {"anyOf": [{"type": "string"}, {"type": "null"}]}
    assert schema["required"] == ["a"]
    fit = Fit(schema)
    assert [fit.fault({"a": "x", **more}) for more in ({}, {"note": None}, {"note": "y"})] == [
        None
    ] * 3


def test_lines_separate_fields_whose_descriptions_have_commas() -> None:
    schema = schema_of("\n  name - first, then last\n  age int - in years,\n\n")
    assert list(schema["properties"]) == ["name", "age"]
    assert schema["properties"]["name"]["description"] == "first, then last"


@pytest.mark.parametrize(
    ("text", "marked", "why"),
    [
        ("a str, reason strng", "strng", "did you mean str?"),
        ("a sentence", "sentence", "a|b|c"),
        ("x list[strng], b", "strng", "did you mean str?"),
        ("a str, a int", "a int", "twice"),
        ("a x|x", "x|x", "twice"),
        ("a x|", "x|", "empty"),
        ("a list[]", "list[]", "of what"),
        ("a str,, b", ",", "missing"),
        ("1a str", "1a str", "name"),
        ("a!b", "a!b", "name"),
        ("a:", "a:", "no type after a"),
        ("one str\ntwo strng", "strng", "did you mean str?"),
        (" ", " ", "no field"),
    ],
)
def test_a_fault_in_the_short_form_is_pointed_at(text: str, marked: str, why: str) -> None:
    with pytest.raises(BadPrompt) as caught:
        schema_of(text)
    first, line, mark = caught.value.message.split("\n")
    assert why in first
    begin = len(mark) - len(mark.lstrip())
    assert line[begin : len(mark)] in (marked, "")


@given(st.text(st.sampled_from("ab1 ,:|?[]-\nlistr"), max_size=20))
def test_any_short_form_gives_a_schema_or_points_at_a_fault(text: str) -> None:
    schema, fault = None, ""
    try:
        schema = schema_of(text)
    except BadPrompt as error:
        fault = error.message
    if schema is None:
        assert fault.count("\n") == 2
    else:
        assert Fit(schema).fault([]) is not None
        assert set(schema["required"]) <= schema["properties"].keys()


def test_a_class_gives_its_schema_closed() -> None:
    schema = json_schema(Review)
    assert properties(schema) == ("sentiment", "author", "counts")
    assert schema["additionalProperties"] is False
    assert schema["$defs"]["Person"]["additionalProperties"] is False
    assert schema["properties"]["counts"]["additionalProperties"] == {"type": "integer"}
    fit = Fit(schema)
    good = {"sentiment": "x", "author": {"name": "A", "children": [{"name": "B"}]}, "counts": {}}
    assert fit.fault(good) is None
    bad = {"sentiment": "x", "author": {"name": "A", "children": [{"name": "B"}, {}]}}
    assert fit.fault(bad) == "author.children.1: name is missing"


def test_a_class_that_refers_to_itself_has_properties_too() -> None:
    schema = json_schema(Person)
    assert "$ref" in schema
    assert properties(schema) == ("name", "children")


def test_a_schema_comes_from_a_file_from_text_and_from_a_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = {"type": "object", "properties": {"a": {"type": "integer"}}}
    file = tmp_path / "review.json"
    file.write_text(json.dumps(wanted))
    assert json_schema(file) == json_schema(str(file)) == wanted
    assert json_schema(json.dumps(wanted)) == json_schema(wanted) == wanted
    (tmp_path / "shapes_here.py").write_text(
        "class Review:\n    @staticmethod\n    def model_json_schema():\n"
        f"        return {wanted!r}\n"
    )
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    assert json_schema("shapes_here:Review")["properties"] == wanted["properties"]
    assert sys.path == path


def test_a_name_with_a_type_is_no_class() -> None:
    assert properties(json_schema("score:int")) == ("score",)


@pytest.mark.parametrize(
    ("given_schema", "word"),
    [
        ("no_such_module:Review", "cannot be imported"),
        ("json:Nothing", "cannot be imported"),
        ("json:JSONDecoder", "no JSON Schema"),
        ("nowhere.json", "cannot be read"),
        ("{broken", "not JSON"),
        ({"type": "array", "items": {}}, "type array, not an object"),
        ({"type": ["object", "null"]}, "several types"),
        ({}, "no type"),
        ({"type": "object", "properties": 5}, "properties"),
        ({"type": "object", "x": {1, 2}.__iter__}, "not JSON"),
        (int, "a int"),
        (5, "a int"),
    ],
)
def test_what_is_no_schema_of_an_object_is_refused(given_schema: object, word: str) -> None:
    with pytest.raises(BadPrompt) as caught:
        json_schema(given_schema)
    assert word in told(caught)


@pytest.mark.parametrize(
    ("part", "word"),
    [
        ({"$ref": "https://example.com/x"}, "another document"),
        ({"$ref": "file:///etc/hosts"}, "another document"),
        ({"$ref": "#/$defs/Nowhere"}, "Unresolvable"),
        ({"type": "string", "pattern": "\\p{L}"}, "\\p"),
        ({"type": "strng"}, "compiled"),
    ],
)
def test_a_schema_that_cannot_be_compiled_is_refused(part: dict[str, Any], word: str) -> None:
    with pytest.raises(BadPrompt) as caught:
        Fit({"type": "object", "properties": {"a": part}})
    assert word in told(caught)


@pytest.mark.parametrize(
    ("part", "value", "words"),
    [
        ({"type": "integer"}, "secret", "a must be of type integer"),
        ({"type": "integer"}, True, "a must be of type integer"),
        ({"enum": ["x", "y", None]}, "secret", "a must be one of x, y, null"),
        ({"const": 1}, "secret", "a must be 1"),
        ({"type": "string", "maxLength": 3}, "secret", "a must have at most 3 characters"),
        ({"type": "string", "pattern": "^x"}, "secret", "a must match the pattern ^x"),
        ({"type": "string", "format": "date"}, "secret", "a must be a valid date"),
        ({"type": "number", "minimum": 2}, 1, "a must be at least 2"),
        ({"items": {"type": "string"}}, ["x", 1], "a.1 must be of type string"),
        ({"type": "array", "uniqueItems": True}, [1, 1], "a must not have an element twice"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, 1,
         "a fits none of the schema's alternatives"),
        ({"properties": {"b": {}}, "additionalProperties": False}, {"secret": 1},
         "a has properties that the schema does not allow"),
        ({"type": "object", "required": ["b", "c"]}, {"b": "secret"}, "a: c is missing"),
    ],
)  # fmt: skip
def test_a_misfit_is_told_by_path_and_rule_without_the_value(
    part: dict[str, Any], value: object, words: str
) -> None:
    assert Fit({"type": "object", "properties": {"a": part}}).fault({"a": value}) == words


def test_a_long_rule_is_cut() -> None:
    fit = Fit({"type": "object", "properties": {"a": {"enum": ["choice"] + ["x" * 9] * 100}}})
    fault = fit.fault({"a": "no"})
    assert fault is not None
    assert len(fault) < RULE_CHARACTERS_MAX + 40


def test_checking_changes_nothing_in_an_answer() -> None:
    value: dict[str, Any] = {}
    schema = {"type": "object", "properties": {"a": {"type": "integer", "default": 5}}}
    assert Fit(schema).fault(value) is None
    assert value == {}
