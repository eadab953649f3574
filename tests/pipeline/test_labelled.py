"""Rows and what became of them, joined by position alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchyard.pipeline.labelled import META, Labelling, labelled
from batchyard.pipeline.row import Outcome

BY_NAME = Labelling(("id",), ("label",), "by_")


def test_the_columns_are_the_inputs_then_the_answers_then_the_rest() -> None:
    assert BY_NAME.columns[:3] == ("id", "label", "by_status")
    assert BY_NAME.columns[2:] == tuple(f"by_{name}" for name in META)
    assert Labelling(("id",), ("label",), None).columns == ("id", "label")


@given(rows=st.integers(0, 30), ended=st.sets(st.integers(0, 29)))
def test_every_row_is_there_once_in_its_place_with_its_own_answer(
    rows: int, ended: set[int]
) -> None:
    fields = [{"id": n} for n in range(rows)]
    outcomes = [
        Outcome(n, "succeeded", {"label": f"l{n}"}, attempts=2) for n in sorted(ended) if n < rows
    ]
    found = list(labelled(fields, outcomes, BY_NAME))
    assert [values[0] for values in found] == list(range(rows))
    assert [values[1] for values in found] == [
        f"l{n}" if n in ended else None for n in range(rows)
    ]  # fmt: skip
    assert [values[-1] for values in found] == [2 if n in ended else None for n in range(rows)]
    assert {len(values) for values in found} <= {len(BY_NAME.columns)}


def test_a_failed_row_has_no_answer_and_says_why() -> None:
    outcome = Outcome(0, "errored", None, "raw text", "schema", "stars is missing")
    (values,) = labelled([{"id": "a"}], [outcome], BY_NAME)
    assert values[:5] == ["a", None, "errored", "schema", "stars is missing"]
    assert "raw text" not in values
