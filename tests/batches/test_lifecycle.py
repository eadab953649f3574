"""Every state, every event, every question: the table, cell by cell."""

from __future__ import annotations

import itertools

import pytest

from batchyard.batches import lifecycle
from batchyard.batches.batch import Batch
from batchyard.batches.lifecycle import Event, State
from batchyard.batches.result import Tally

NOW = 1_760_000_000_000_000
DEADLINE = NOW + 1_000


def batch_in(state: State) -> Batch:
    """A batch as the store shows it in that state."""
    over = state in (State.ENDED, State.ARCHIVED)
    return Batch(
        id="msgbatch_x",
        workspace_id="w",
        processing_status="ended" if over else state.value,  # type: ignore[arg-type]
        requests=3,
        tally=Tally(3) if over else Tally(1),
        created_at=NOW,
        expires_at=DEADLINE,
        ended_at=NOW if over else None,
        cancel_initiated_at=NOW if state is State.CANCELING else None,
        archived_at=NOW if state is State.ARCHIVED else None,
    )


SHOWN = [State.IN_PROGRESS, State.CANCELING, State.ENDED, State.ARCHIVED]
_SAME = "same"
TABLE = {
    #                   cancel            settle all    expire  archive           delete
    State.IN_PROGRESS: (State.CANCELING, State.ENDED, _SAME, None, None),
    State.CANCELING: (_SAME, State.ENDED, _SAME, None, None),
    State.ENDED: (_SAME, None, _SAME, State.ARCHIVED, State.GONE),
    State.ARCHIVED: (_SAME, None, _SAME, _SAME, State.GONE),
    State.GONE: (None, None, None, None, None),
}
CELLS = [
    (state, event, state if to == _SAME else to)
    for state, row in TABLE.items()
    for event, to in zip(Event, row, strict=True)
]


@pytest.mark.parametrize(("state", "event", "to"), CELLS)
def test_the_table_says_where_every_event_leads(
    state: State, event: Event, to: State | None
) -> None:
    assert lifecycle.after(state, event) is to


def test_the_table_has_a_cell_for_every_state_and_event() -> None:
    assert {(state, event) for state, event, _ in CELLS} == set(itertools.product(State, Event))


def test_states_only_move_forward() -> None:
    ranks = list(State)
    for state, event in itertools.product(State, Event):
        to = lifecycle.after(state, event)
        assert to is None or ranks.index(to) >= ranks.index(state)


@pytest.mark.parametrize("state", SHOWN)
def test_a_shown_batch_is_in_its_state(state: State) -> None:
    assert lifecycle.state_of(batch_in(state)) is state


def test_a_batch_nobody_knows_is_gone() -> None:
    assert lifecycle.state_of(None) is State.GONE


@pytest.mark.parametrize(
    ("state", "deletable", "readable", "takes"),
    [
        (State.IN_PROGRESS, False, False, True),
        (State.CANCELING, False, False, True),
        (State.ENDED, True, True, False),
        (State.ARCHIVED, True, False, False),
    ],
)
def test_each_question_has_one_answer_per_state(
    state: State, deletable: bool, readable: bool, takes: bool
) -> None:
    batch = batch_in(state)
    assert lifecycle.may_delete(batch) is deletable
    assert lifecycle.results_readable(batch) is readable
    assert lifecycle.takes_results(batch) is takes


@pytest.mark.parametrize(
    ("state", "before", "past"),
    [
        (State.IN_PROGRESS, None, "expired"),
        (State.CANCELING, "canceled", "canceled"),
        (State.ENDED, None, None),
        (State.ARCHIVED, None, None),
    ],
)
def test_what_was_not_asked_is_canceled_or_expired(
    state: State, before: str | None, past: str | None
) -> None:
    batch = batch_in(state)
    assert lifecycle.outcome_unasked(batch, DEADLINE - 1) == before
    assert lifecycle.outcome_unasked(batch, DEADLINE) == past
