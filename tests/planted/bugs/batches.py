"""Bugs in the laws of batches: what a create body may be, and how states follow each other."""

from __future__ import annotations

from typing import Any

from tests.planted.bugs import caught_by, swap

ENVELOPE = "tests/batches/test_envelope.py"


@caught_by(
    f"{ENVELOPE}::test_a_faulty_entry_is_refused_by_its_path",
    f"{ENVELOPE}::test_the_first_repetition_in_reading_order_is_the_one_named",
)
def repeated_custom_id_accepted() -> None:
    """Two requests of a batch may bear one custom_id."""
    from batchyard.batches import envelope

    swap(envelope, "_repeated", lambda _: lambda hashes: set())


@caught_by(
    f"{ENVELOPE}::test_more_requests_than_allowed_are_counted_and_refused",
    "tests/api/test_statements.py::test_more_requests_than_allowed_are_refused_with_their_number",
)
def too_many_accepted() -> None:
    """The number of requests in a batch has no limit."""
    from batchyard.batches import envelope

    def check(sound: Any) -> Any:
        return lambda read, requests_max: sound(read, 1 << 40)

    swap(envelope, "check", check)


@caught_by(f"{ENVELOPE}::test_a_body_that_is_no_json_is_refused_with_the_place")
def half_characters_accepted() -> None:
    """Bytes that are no UTF-8 pass the check of a body."""
    from batchyard.batches import envelope

    swap(envelope, "checked_utf8", lambda _: lambda read: read)


@caught_by(
    "tests/batches/test_lifecycle.py::test_states_only_move_forward",
    "tests/batches/test_lifecycle.py::test_the_table_says_where_every_event_leads",
)
def ended_is_not_the_end() -> None:
    """The table of states leads from ended back to canceling."""
    from batchyard.batches import lifecycle

    State, Event = lifecycle.State, lifecycle.Event  # noqa: N806 (classes)
    lifecycle._TABLE[State.ENDED][Event.CANCEL] = State.CANCELING
