"""How a row goes into a template: columns found, values as text, faults told by row."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.errors import BadInput, BadPrompt
from batchyard.pipeline.prompt import Task
from tests.pipeline.prompt.asking import sent, spoken, told

DEEP: list[object] = []
for _ in range(100_000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("template", "columns"),
    [
        ("{{ a }} and {{ b.c }}", {"a", "b"}),
        ('{{ row["odd name"] }} {{ row.plain }}', {"odd name", "plain"}),
        ("{% for x in many %}{{ x }}{% endfor %}", {"many"}),
        ("{% set n = a %}{{ n }}", {"a"}),
        ("{% if a and not b %}yes{% endif %}", {"a", "b"}),
        ("{% for i in range(3) %}{{ i }}{{ a }}{% endfor %}", {"a"}),
        ("{{ range }} {{ dict }}", {"range", "dict"}),
        ("{{ a|default(b) }}", {"a", "b"}),
        ("{# {{ a }} #}{{ b }}", {"b"}),
    ],
)
def test_the_columns_a_template_uses_are_known(template: str, columns: set[str]) -> None:
    task = Task.make(prompt=template)
    assert task.columns_used == columns
    assert not task.whole_row


@pytest.mark.parametrize("template", ["{{ row }}", "{{ row.items()|list }}", "{{ row[a] }}"])
def test_a_template_that_takes_the_whole_row_says_so(template: str) -> None:
    assert Task.make(prompt=template).whole_row


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is", "as it is"),
        (None, ""),
        (float("nan"), ""),
        (Decimal("nan"), ""),
        ({"a": 10**30}, '{"a":1000000000000000000000000000000}'),
        (3, "3"),
        (3.0, "3.0"),
        (0.1, "0.1"),
        (True, "true"),
        (Decimal("1.10"), "1.10"),
        (dt.date(2026, 3, 14), "2026-03-14"),
        (dt.datetime(2026, 3, 14, 9, 26, 53), "2026-03-14T09:26:53"),  # noqa: DTZ001 (as in files)
        ({"a": [1, None, "é"]}, '{"a":[1,null,"é"]}'),
        (["x", 2], '["x",2]'),
        ("{{ b }} {% if %}", "{{ b }} {% if %}"),
        ("<b>&</b>", "<b>&</b>"),
    ],
)
def test_a_value_reads_as_it_is_written(value: object, text: str) -> None:
    assert spoken("v: {{ a }}.", {"a": value, "b": "other"}) == f"v: {text}."


@pytest.mark.parametrize("nothing", [None, float("nan"), Decimal("nan")])
def test_no_value_is_empty_false_none_and_has_a_default(nothing: object) -> None:
    template = (
        "{{ a|default('-') }}{{ a|upper }}{{ a is none }}{{ a == none }}"
        "{% if a %}yes{% else %}no{% endif %}{{ a ~ '!' }}{{ a|tojson }}"
    )
    assert spoken(template, {"a": nothing}) == "-truetrueno!null"


def test_null_inside_an_object_is_no_value_either() -> None:
    assert (
        spoken("{{ a.b|upper }}{{ a['b']|upper }}{{ a.b|default('-') }}", {"a": {"b": None}}) == "-"
    )


def test_a_column_that_one_row_lacks_has_no_value_there() -> None:
    assert spoken("v{{ a }}{{ row['b c'] }}", {}) == "v"
    assert spoken("{{ row.a }}{{ row|length }}", {"b": 1}) == "2"


def test_the_whole_row_is_json_of_all_columns() -> None:
    assert spoken("{{ row }}", {"a": 1, "b c": None}) == '{"a":1,"b c":null}'


def test_json_in_a_prompt_keeps_what_html_would_escape() -> None:
    assert spoken("{{ a|tojson }}", {"a": {"x": "<'&'>é"}}) == '{"x":"<\'&\'>é"}'


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_text_arrives_as_it_is(text: str) -> None:
    assert spoken("[{{ a }}]", {"a": text}) == f"[{text}]"


@given(st.text(st.characters(exclude_characters="{", exclude_categories=["Cs"])))
def test_any_text_without_braces_is_a_template_for_itself(text: str) -> None:
    wanted = text.replace("\r\n", "\n").replace("\r", "\n")
    assert spoken("{{ a }}" + text + "|", {"a": "x"}) == f"x{wanted}|"


def test_a_prompt_without_any_column_is_refused() -> None:
    with pytest.raises(BadPrompt) as caught:
        Task.make(prompt="Tell a joke")
    assert "uses no column" in told(caught)
    assert "nothing was sent" in told(caught)
    assert sent(Task.make(prompt="Tell a joke", constant=True), {})["messages"] == [
        {"role": "user", "content": "Tell a joke"}
    ]


def test_single_braces_are_answered_with_the_double_ones() -> None:
    with pytest.raises(BadPrompt) as caught:
        Task.make(prompt="Classify {review_text} for {the country}")
    assert "{review_text}, {the country}" in told(caught)
    assert '{{ review_text }} and {{ row["the country"] }}' in told(caught)


@pytest.mark.parametrize(
    ("template", "word"),
    [
        ("{{ a", "line 1"),
        ("\n{{ odd name }}", "line 2"),
        ("{{ a|no_such_filter }}", "no_such_filter"),
        ("{% include 'x' %}{{ a }}", "include"),
        ("{% import 'x' as y %}{{ a }}", "import"),
        ("{% extends 'x' %}{{ a }}", "extends"),
        ("{% if a %}", "line 1"),
        ("{{ a|random }}", "random"),
        ("{{" + "(" * 3000 + "a" + ")" * 3000 + "}}", "nested"),
    ],
)
def test_a_template_that_is_none_is_refused_when_it_is_made(template: str, word: str) -> None:
    with pytest.raises(BadPrompt) as caught:
        Task.make(prompt=template)
    assert word in told(caught)


@pytest.mark.parametrize(
    ("template", "fields", "words"),
    [
        ("x{{ a.b }}", {"a": {"c": "secret"}}, ["row 17", "the prompt", "'b'"]),
        ("x{{ a + 1 }}", {"a": None}, ["row 17", "no value in a"]),
        ("x{{ a + 1 }}", {"a": "secret"}, ["row 17"]),
        ("x{{ 1 / a }}", {"a": 0}, ["row 17", "ZeroDivisionError"]),
        ("x{{ a ** 400 }}", {"a": 1e300}, ["row 17", "OverflowError"]),
        ("x{{ a }}", {"a": DEEP}, ["row 17", "nested too deeply"]),
        ("x{{ a|round('secret') }}", {"a": 1.5}, ["row 17"]),
        ("x{{ a }}", {"a": b"secret"}, ["row 17", "bytes are not text"]),
        ("x{{ a }}", {"a": "\ud800secret"}, ["row 17", "column a", "surrogate"]),
        ("x{{ a }}", {"a": {"k": ["\ud800secret"]}}, ["row 17", "column a", "surrogate"]),
        ("{{ a }}", {"a": None}, ["row 17", "no value in a", "default"]),
        ("{{ a }}\n", {"a": " \t"}, ["row 17", "is empty"]),
    ],
)
def test_a_row_that_does_not_fit_is_told_by_its_number_without_its_content(
    template: str, fields: dict[str, Any], words: list[str]
) -> None:
    task = Task.make(prompt=template)
    with pytest.raises(BadInput) as caught:
        task.params_of(fields, position=16)
    assert [word for word in words if word not in told(caught)] == []
    assert "secret" not in told(caught)


def test_a_cell_of_two_megabytes_passes_and_a_row_of_32_does_not() -> None:
    task = Task.make(prompt="{{ a }}{{ b }}")
    assert len(task.params_of({"a": "x" * 2_000_000}, position=0)) > 2_000_000
    with pytest.raises(BadInput) as caught:
        task.params_of({"a": "short", "b": "é" * (17 * 1024 * 1024)}, position=4)
    assert "row 5" in told(caught)
    assert "longest column is b" in told(caught)


def test_a_prompt_that_is_no_unicode_is_refused() -> None:
    with pytest.raises(BadPrompt, match="surrogate"):
        Task.make(prompt="\udcff {{ a }}")
