"""The states of a batch and what may happen in each: one table, and one function per question.

The store keeps to this table in its own terms (conditional writes), and a test puts a batch into
every state and fires every event to see that it does.
"""

from __future__ import annotations

from enum import Enum

from batchyard.batches.batch import Batch
from batchyard.batches.result import Outcome
from batchyard.clock import Microseconds


class State(Enum):
    """Where a batch is. The first three are its `processing_status`."""

    IN_PROGRESS = "in_progress"
    """Written down. Moved on by dispatch, which plans it, asks, and ends it with the last result;
    by its owner's cancel. A crash leaves shards with some results: dispatch takes them up again."""

    CANCELING = "canceling"
    """Its owner wants no more of it. Moved on by dispatch, which settles what was not asked as
    canceled and keeps what comes back in time. A crash leaves the wish, and dispatch obeys it."""

    ENDED = "ended"
    """Every request has its one result; counts and results never change again. Moved on by its
    owner's delete, or by the sweeper 29 days after its creation. A crash leaves it as it is."""

    ARCHIVED = "archived"
    """Ended, and the results are gone; the batch is still shown. Moved on by its owner's delete.
    A crash may leave bytes nobody can read any more: the sweeper prunes them."""

    GONE = "gone"
    """Deleted: its id answers 404 for ever. A crash may leave bytes, pruned like the above."""


class Event(Enum):
    """What can happen to a batch."""

    CANCEL = "cancel"
    SETTLE_ALL = "settle all"
    EXPIRE = "expire"
    ARCHIVE = "archive"
    DELETE = "delete"


_TABLE: dict[State, dict[Event, State]] = {
    State.IN_PROGRESS: {
        Event.CANCEL: State.CANCELING,
        Event.EXPIRE: State.IN_PROGRESS,  # what was not asked is settled as expired; that ends it
        Event.SETTLE_ALL: State.ENDED,
    },
    State.CANCELING: {
        Event.CANCEL: State.CANCELING,  # SDKs repeat a cancel whose answer was lost
        Event.EXPIRE: State.CANCELING,
        Event.SETTLE_ALL: State.ENDED,
    },
    State.ENDED: {
        Event.CANCEL: State.ENDED,  # a cancel may lose the race against the last result
        Event.EXPIRE: State.ENDED,
        Event.ARCHIVE: State.ARCHIVED,
        Event.DELETE: State.GONE,
    },
    State.ARCHIVED: {
        Event.CANCEL: State.ARCHIVED,
        Event.EXPIRE: State.ARCHIVED,
        Event.ARCHIVE: State.ARCHIVED,
        Event.DELETE: State.GONE,
    },
    State.GONE: {},
}


def after(state: State, event: Event) -> State | None:
    """The state that `event` leads to, perhaps the same one; None when it cannot happen there."""
    return _TABLE[state].get(event)


def state_of(batch: Batch | None) -> State:
    """The state of a batch as the store knows it; None is one it does not know (any more)."""
    if batch is None:
        return State.GONE
    if batch.archived_at is not None:
        return State.ARCHIVED
    return State(batch.processing_status)


def may_delete(batch: Batch) -> bool:
    """Whether its owner may delete it now; before the end it has to be canceled first."""
    return after(state_of(batch), Event.DELETE) is State.GONE


def results_readable(batch: Batch) -> bool:
    """Whether it has results to read: from the end on, until they are archived."""
    return state_of(batch) is State.ENDED


def takes_results(batch: Batch) -> bool:
    """Whether a result may still be counted for it."""
    return after(state_of(batch), Event.SETTLE_ALL) is State.ENDED


def outcome_unasked(batch: Batch, now: Microseconds) -> Outcome | None:
    """What becomes of its requests that were not asked yet; None while they are to be asked.

    A cancel stands even past the deadline: it was the owner's word.
    """
    state = state_of(batch)
    if state is State.CANCELING:
        return "canceled"
    if state is State.IN_PROGRESS and now >= batch.expires_at:
        return "expired"
    return None
