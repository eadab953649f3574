"""Bugs at the edge: wrong doors, wrong shapes, downloads that end as if they were whole."""

from __future__ import annotations

from typing import Any

from tests.planted.bugs import caught_by, swap

CALLS = "tests/api/test_traps_of_calls.py"
ANSWERS = "tests/api/test_traps_of_answers.py"


@caught_by(f"{CALLS}::test_15_results_url_is_made_from_each_request")
def results_url_from_a_fixed_host() -> None:
    """`results_url` names a configured host, whatever name the client used."""
    from batchyard.api.call import Call

    swap(Call, "origin", lambda _: lambda self, public_url, trusted: "http://batchyard.internal")


@caught_by(f"{CALLS}::test_13_ended_comes_with_everything_that_belongs_to_it")
def ended_before_results_url() -> None:
    """A batch is shown as ended before its results can be read."""
    _shown(lambda shown, batch: {"results_url": None} if shown.ended_at else {})


@caught_by(
    f"{CALLS}::test_13_ended_comes_with_everything_that_belongs_to_it",
    "tests/api/test_golden.py::test_a_running_batch_shows_its_progress",
)
def results_url_before_the_end() -> None:
    """`results_url` is there from the beginning."""
    _shown(lambda shown, batch: {"results_url": "http://somewhere/results"})


@caught_by(f"{CALLS}::test_14_counts_always_sum_to_the_total")
def counts_do_not_sum() -> None:
    """`processing` stays at the total while results come in."""
    from batchyard.wire import RequestCounts

    def changed(shown: Any, batch: Any) -> dict[str, Any]:
        counts = shown.request_counts
        settled = (counts.succeeded, counts.errored, counts.canceled, counts.expired)
        return {"request_counts": RequestCounts(batch.requests, *settled)}

    _shown(changed)


@caught_by(f"{ANSWERS}::test_22_a_broken_download_is_cut_never_ended")
def broken_download_ends_cleanly() -> None:
    """A download that breaks in the middle ends as a whole 200."""
    from batchyard.api import render

    async def whole(chunks: Any, size: int) -> Any:
        try:
            async for chunk in chunks:
                yield chunk
        except Exception:  # noqa: BLE001 the bug
            return

    swap(render, "whole", lambda _: whole)


@caught_by(f"{ANSWERS}::test_23_results_before_the_end_are_404")
def results_before_the_end() -> None:
    """Results can be read while they are still coming in."""
    from batchyard.store import results, store

    for module in (results, store):
        swap(module, "check_readable", lambda _: lambda batch: None)


@caught_by(
    "tests/api/test_auth.py::test_every_wrong_key_is_told_the_same",
    "tests/api/test_auth.py::test_where_keys_are_required_none_opens_nothing",
)
def any_key_opens() -> None:
    """Whoever is at the door is let in."""
    from batchyard.api.auth import Gate
    from batchyard.api.call import Caller
    from batchyard.store.keys import DEFAULT_WORKSPACE

    swap(Gate, "_by_key", lambda _: lambda self, call: Caller(DEFAULT_WORKSPACE))


@caught_by("tests/api/test_auth.py::test_a_web_page_cannot_write_where_no_key_is_asked_for")
def web_pages_may_write() -> None:
    """A page in the user's browser can create batches."""
    from batchyard.api.auth import Gate

    swap(Gate, "_refuse_other_sites", lambda _: lambda self, call: None)


@caught_by(f"{CALLS}::test_09_an_idempotency_key_stands_for_one_batch")
def idempotency_key_not_heard() -> None:
    """The header `Idempotency-Key` is ignored."""
    from batchyard.api import batches

    swap(batches, "_idempotency_key", lambda _: lambda call: None)


@caught_by("tests/api/test_intake.py::test_a_bomb_is_refused_without_being_unpacked")
def bomb_unpacked() -> None:
    """A compressed body is unpacked whole before its size is looked at."""
    from batchyard.api.bodies.unpack import Unpack, too_large

    def pieces(sound: Any) -> Any:
        def unpacked(self: Any, chunk: bytes) -> Any:
            limit, self._room = self._bytes_max, 1 << 40
            size = 0
            for piece in sound(self, chunk):
                size += len(piece)
                yield piece
            if size > limit:
                raise too_large(limit, unpacked=not self.plain)

        return unpacked

    swap(Unpack, "pieces", pieces)


def _shown(changes: Any) -> None:
    """Show batches with what `changes(shown, batch)` says instead."""
    import msgspec

    from batchyard.api import render

    sound = render.message_batch

    def message_batch(batch: Any, *arguments: Any, **keywords: Any) -> Any:
        shown = sound(batch, *arguments, **keywords)
        return msgspec.structs.replace(shown, **changes(shown, batch))

    render.message_batch = message_batch
