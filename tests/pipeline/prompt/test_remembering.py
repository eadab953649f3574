"""What a run remembers of its task: the manifest, the key of a row, and how tasks differ."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.errors import BadPrompt
from batchyard.pipeline.prompt import Task

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="{}#"), max_size=12)
CELLS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
ROWS = st.fixed_dictionaries({"a": CELLS, "b c": CELLS, "other": CELLS})
SCHEMAS = st.sampled_from(
    [None, "x, y int", "x a|b - why, y list[str]?", {"type": "object", "properties": {"x": {}}}]
)
ENDS = st.sampled_from(["", "{{ row['b c'] }}"])
DEEP: list[object] = []
for _ in range(100_000):
    DEEP = [DEEP]
TOOLS = [{"name": "t", "input_schema": {"type": "object"}}]


@st.composite
def tasks(draw: st.DrawFn) -> Task:
    said: dict[str, Any] = {
        "prompt": f"p{draw(TEXT)}" + "{{ a }}" + draw(TEXT) + draw(ENDS),
        "model": draw(st.none() | TEXT),
        "max_tokens": draw(st.integers(1, 9999)),
        "cache_prefix": draw(st.booleans()),
        "schema": draw(SCHEMAS),
        "params": draw(
            st.fixed_dictionaries(
                {}, optional={"temperature": st.floats(0, 1), "stop_sequences": st.lists(TEXT)}
            )
        ),
    }  # fmt: skip
    said["as_tool"] = said["schema"] is not None and draw(st.booleans())
    if draw(st.booleans()):
        said["system"] = "s" + draw(TEXT)
    if draw(st.booleans()):
        said["turns"] = [("user", "u" + draw(TEXT)), ("assistant", "{{ a }}!" + draw(TEXT))]
    if not said["as_tool"] and draw(st.booleans()):
        said |= {"tools": TOOLS, "tool_choice": draw(st.sampled_from([None, "t", "any"]))}
    return Task.make(**said)


@given(tasks(), ROWS)
def test_a_task_comes_back_from_its_manifest_as_it_was(task: Task, row: dict[str, Any]) -> None:
    manifest = msgspec.json.decode(msgspec.json.encode(task.as_manifest()))
    again = Task.from_manifest(manifest)
    assert again.key(row) == task.key(row)
    assert again.params_of(row, position=3) == task.params_of(row, position=3)
    assert again.as_manifest() == task.as_manifest()
    assert again.answer_columns == task.answer_columns
    assert again.difference(task) == []


@given(tasks(), tasks(), ROWS)
def test_tasks_differ_exactly_when_their_keys_do(
    one: Task, other: Task, row: dict[str, Any]
) -> None:
    assert (one.difference(other) == []) == (one.key(row) == other.key(row))


@given(ROWS, ROWS)
def test_rows_that_are_asked_the_same_have_one_key(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    """Equal keys promise equal params; what is not used changes nothing."""
    task = Task.make(prompt="x {{ a }}")
    if task.key(one) == task.key(other):
        assert task.params_of(one, position=0) == task.params_of(other, position=0)
    assert task.key({"a": one["a"]}) == task.key({**other, "a": one["a"]})


def test_no_value_has_one_key_however_it_is_written() -> None:
    task = Task.make(prompt="x{{ a }}")
    assert len({task.key(row) for row in ({"a": None}, {"a": float("nan")}, {})}) == 1
    assert task.key({"a": ""}) != task.key({})


def test_the_order_of_columns_counts_only_where_it_is_sent() -> None:
    one, other = {"a": 1, "b": 2}, {"b": 2, "a": 1}
    named, whole = Task.make(prompt="{{ a }}{{ b }}"), Task.make(prompt="{{ row }}")
    assert named.key(one) == named.key(other)
    assert whole.key(one) != whole.key(other)
    assert named.key({"a": one}) != named.key({"a": other})


def test_a_key_is_16_bytes_even_for_what_is_no_text() -> None:
    task = Task.make(prompt="x{{ a }}")
    cells: list[object] = ["\ud800", b"x", object, {1, 2}, {"k": "\udfff"}, 10**400, DEEP]
    assert {len(task.key({"a": cell})) for cell in cells} == {16}
    assert task.key({"a": "\ud800"}) != task.key({"a": "\ud801"})


def test_with_the_whole_row_every_column_counts() -> None:
    task = Task.make(prompt="{{ row }}")
    assert task.key({"a": 1, "b": 2}) != task.key({"a": 1, "b": 3})
    assert task.key({"a": 1, "b": 2}) != task.key({"a": 1, "c": 2})


@pytest.mark.parametrize(
    "said",
    [
        {"prompt": "y {{ a }}"},
        {"model": "other"},
        {"system": "s"},
        {"schema": "x, z"},
        {"schema": "y int, x"},
        {"schema": "x, y int", "as_tool": True},
        {"params": {"temperature": 0}},
        {"max_tokens": 5},
        {"tools": TOOLS},
        {"turns": [("user", "u"), ("assistant", "v")]},
        {"images": ["b"]},
    ],
)
def test_whatever_changes_an_answer_changes_the_key(said: dict[str, Any]) -> None:
    before: dict[str, Any] = {"prompt": "x {{ a }}", "model": "m", "schema": "x, y int"}
    one, other = Task.make(**before), Task.make(**{**before, **said})
    assert one.key({"a": "r"}) != other.key({"a": "r"})
    assert one.difference(other) != []


def test_caching_and_the_folder_change_no_key() -> None:
    one = Task.make(prompt="x {{ a }}")
    other = Task.make(prompt="x {{ a }}", cache_prefix=True, folder="/elsewhere")
    assert one.key({"a": "r"}) == other.key({"a": "r"})
    assert one.difference(other) == []


def test_a_difference_reads_as_a_diff() -> None:
    one = Task.make(prompt="Classify:\n{{ a }}", model="m", schema="x a|b")
    other = Task.make(prompt="Judge:\n{{ a }}", model="m", schema="x a|c", params={"top_k": 1})
    lines = one.difference(other)
    assert not any(line.startswith(("@@", "---", "+++")) for line in lines)
    assert [line for line in lines if line[0] in "+-"] == [
        "+top_k: 1",
        "-  Classify:",
        "+  Judge:",
        '-          "b"',
        '+          "c"',
    ]


def test_a_manifest_that_is_none_is_refused() -> None:
    manifest = Task.make(prompt="{{ a }}").as_manifest()
    for broken in ({**manifest, "model": 5}, {**manifest, "more": 1}, {}):
        with pytest.raises(BadPrompt, match="manifest"):
            Task.from_manifest(broken)


def test_a_row_is_shown_as_it_would_be_sent() -> None:
    task = Task.make(
        prompt="Classify:\n{{ a }}", system="Be brief.", images=["p"], model="m",
        schema="x", params={"temperature": 0},
    )  # fmt: skip
    shown = task.rendered({"a": "fine", "p": ["one.png", "data:image/png;base64,AAAA"]})
    assert shown.split("\n") == [
        "system",
        "  Be brief.",
        "user",
        "  [image: one.png]",
        "  [image: a data: URL]",
        "  Classify:",
        "  fine",
        "params",
        "  model: m",
        "  max_tokens: 1024",
        "  temperature: 0",
        "  images: p",
        "  schema: as structured output",
    ]
