"""A task against the columns of a dataset: all that is missing, and what was meant."""

from __future__ import annotations

import pytest

from batchyard.errors import BadPrompt
from batchyard.pipeline.prompt import Task
from tests.pipeline.prompt.asking import told

THERE = ["id", "review_text", "stars", "country"]


def refusal(task: Task, columns: list[str] | None = None) -> str:
    with pytest.raises(BadPrompt) as caught:
        task.check(columns or THERE, source="reviews.csv")
    return told(caught)


def test_a_missing_column_is_named_before_anything_is_sent() -> None:
    assert refusal(Task.make(prompt="Classify: {{ reveiw_text }}")).split("\n") == [
        "the prompt uses a column that reviews.csv does not have: {{ reveiw_text }}",
        "columns: id, review_text, stars, country        did you mean review_text?",
        "--prompt 'Classify: {{ review_text }}'",
        "nothing was sent",
    ]


def test_all_missing_columns_are_told_at_once_those_of_media_too() -> None:
    words = refusal(
        Task.make(
            prompt="{{ a }} {{ Stars }}", system="{{ row['b c'] }}", images=["photo"], turns=[]
        )
    )
    assert "4 columns" in words
    assert '{{ row["b c"] }}, {{ Stars }}, {{ a }}, photo (image)' in words
    assert "did you mean stars?" in words


def test_a_dataset_with_all_columns_passes() -> None:
    task = Task.make(prompt="{{ review_text }} {{ row.country }}", images=["id"])
    task.check(THERE, source="reviews.csv")


def test_many_columns_are_not_listed_all() -> None:
    words = refusal(Task.make(prompt="{{ a }}"), [f"column_{number}" for number in range(50)])
    assert "column_19 and 30 more" in words


def test_single_braces_beside_images_are_still_seen() -> None:
    task = Task.make(prompt="What is on this photo of {country}?", images=["id"])
    assert "{{ country }}" in refusal(task)


def test_braces_that_name_no_column_are_text() -> None:
    task = Task.make(prompt="Answer as {json}", images=["id"])
    task.check(THERE, source="reviews.csv")


def test_the_row_is_not_confused_with_a_column_of_that_name() -> None:
    task = Task.make(prompt="{{ row }}")
    assert 'row["row"]' in refusal(task, ["row", "a"])
    task.check(["a"], source="reviews.csv")
    Task.make(prompt='{{ row["row"] }}').check(["row"], source="reviews.csv")
