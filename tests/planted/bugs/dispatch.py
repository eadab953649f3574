"""Bugs in what runs next: double asking, wrong endings, blame, impatience, unfairness."""

from __future__ import annotations

from typing import Any

from tests.planted.bugs import caught_by, swap

ANSWERS = "tests/dispatch/test_answers.py"
ENDINGS = "tests/dispatch/test_endings.py"
RETRY = "tests/dispatch/test_retry.py"
SCHEDULER = "tests/dispatch/test_scheduler.py"
TROUBLE = "tests/dispatch/test_trouble.py"


@caught_by(f"{ENDINGS}::test_a_cancel_settles_what_was_not_sent_and_keeps_what_was_answered")
def cancel_overwrites_results() -> None:
    """An answer that comes after the cancel of its batch is written down as canceled."""
    from batchyard.dispatch.worker import slots

    def answered(sound: Any) -> Any:
        def settled(self: Any, job: Any, line: Any) -> None:
            if job.cursor.stop is not None:
                line = slots.unanswered(job.entry, "canceled")
            sound(self, job, line)

        return settled

    swap(slots.Slots, "_answered", answered)


@caught_by(f"{ANSWERS}::test_every_request_is_asked_once_when_nothing_fails")
def asked_twice() -> None:
    """Every request is sent to its engine two times."""
    from batchyard.dispatch.worker import slots

    def attempt(sound: Any) -> Any:
        async def twice(*arguments: Any, **keywords: Any) -> Any:
            await sound(*arguments, **keywords)
            return await sound(*arguments, **keywords)

        return twice

    swap(slots, "attempt", attempt)


@caught_by(
    f"{ANSWERS}::test_a_batch_ends_with_one_right_line_per_request",
    f"{ANSWERS}::test_a_thousand_requests_over_several_shards_all_arrive",
)
def answers_mixed_up() -> None:
    """A request gets the answer that came for the one before it."""
    from batchyard.dispatch.worker import attempt

    before: list[bytes] = []

    def one_line(sound: Any) -> Any:
        def other(message: bytes) -> Any:
            before.append(sound(message))
            return before[-2:][0]

        return other

    swap(attempt.wire, "one_line", one_line)


@caught_by(f"{RETRY}::test_a_rejected_request_ends_at_once_with_the_engines_words")
def rejected_asked_again() -> None:
    """What an engine refuses for good is asked again."""
    _judged("Rejected", lambda retry, error, tries: retry.Again(1.0))


@caught_by(f"{RETRY}::test_retry_after_is_a_lower_bound")
def retry_after_ignored() -> None:
    """An engine that asks for time is asked again as soon as any other."""
    _judged("Overloaded", lambda retry, error, tries: retry.Again(retry.backoff(tries.total, 0.5)))


@caught_by(f"{TROUBLE}::test_transient_failures_are_asked_again_until_they_succeed")
def passing_fault_is_final() -> None:
    """The first 5xx of an engine ends its request."""
    _judged("Unavailable", lambda retry, error, tries: retry.GiveUp("api_error", error.message))


@caught_by(f"{RETRY}::test_an_unreachable_engine_holds_and_no_request_pays_for_it")
def outage_blamed_on_requests() -> None:
    """Requests that found no engine there are given up after a few tries."""

    def verdict(retry: Any, error: Any, tries: Any) -> Any:
        if error.status is None:
            return retry.GiveUp("api_error", error.message)
        return retry.Again(1.0)

    _judged("Unavailable", verdict)


@caught_by(
    f"{TROUBLE}::test_a_wrong_key_pauses_the_engine_and_says_so",
    f"{RETRY}::test_a_wrong_key_holds_the_engine_and_no_request_pays_for_it",
)
def wrong_key_burns_requests() -> None:
    """A refused key ends every request that was sent with it."""
    _judged("Misconfigured", lambda retry, error, tries: retry.GiveUp("api_error", error.message))


@caught_by(f"{TROUBLE}::test_no_retry_comes_within_ten_milliseconds_of_a_failure")
def retried_at_once() -> None:
    """A failure is followed by the next try without a breath."""
    from batchyard.dispatch.worker import retry

    swap(retry, "backoff", lambda _: lambda tries, jitter: 0.0)


@caught_by(
    f"{RETRY}::test_the_same_5xx_every_time_while_neighbours_succeed_is_the_requests_own_fault",
)
def poison_never_given_up() -> None:
    """A request that no engine survives is asked for ever."""
    from batchyard.dispatch.worker import retry

    swap(retry, "_alike_max", lambda _: lambda status, bad_luck: 1 << 30)


@caught_by(
    f"{ENDINGS}::test_after_a_day_the_rest_expires_and_finished_work_stays",
    f"{ENDINGS}::test_what_expired_while_the_server_was_down_is_never_sent",
)
def nothing_expires() -> None:
    """The deadline of a batch passes unnoticed."""
    from batchyard.dispatch.coordinator import Coordinator

    def stop(sound: Any) -> Any:
        def only_canceled(self: Any, motion: Any, outcome: str, grace: float) -> None:
            if outcome != "expired":
                sound(self, motion, outcome, grace)

        return only_canceled

    swap(Coordinator, "_stop", stop)


@caught_by(f"{ENDINGS}::test_what_expired_while_the_server_was_down_is_never_sent")
def restart_extends_expiry() -> None:
    """A batch has its day from when the server was last started."""
    from dataclasses import replace

    from batchyard.dispatch.coordinator import Coordinator

    def notice(sound: Any) -> Any:
        def noticed(self: Any, batch: Any) -> None:
            span = batch.expires_at - batch.created_at
            late = max(batch.expires_at, self._clock.now() + span)
            sound(self, replace(batch, expires_at=late))

        return noticed

    swap(Coordinator, "_notice", notice)


@caught_by(f"{ENDINGS}::test_a_cancel_settles_what_was_not_sent_and_keeps_what_was_answered")
def cancel_not_told_to_workers() -> None:
    """Workers go on with what they hold of a canceled batch."""
    from batchyard.dispatch.worker.worker import Worker

    swap(Worker, "recall", lambda _: lambda self, batch_id, outcome, grace_seconds: None)


@caught_by(f"{ENDINGS}::test_a_restart_asks_only_for_what_has_no_answer")
def drain_cuts_calls() -> None:
    """A stop throws away the answers that are under way."""
    from batchyard.dispatch.worker.slots import Slots

    def drain(sound: Any) -> Any:
        return lambda self, seconds: sound(self, 0.0)

    swap(Slots, "drain", drain)


@caught_by(
    "tests/server/test_processes.py::test_sigterm_lets_answers_under_way_arrive", in_servers=True
)
def sigterm_cuts_calls() -> None:
    """SIGTERM throws away the answers that are under way."""
    drain_cuts_calls()


@caught_by(f"{SCHEDULER}::test_two_workspaces_share_alike_though_one_has_ten_times_the_batches")
def workspaces_not_told_apart() -> None:
    """Whoever has more batches gets more of the engine."""
    from batchyard.dispatch.scheduler import FairShare

    def enter(sound: Any) -> Any:
        return lambda self, batch, workspace: sound(self, batch, batch)

    swap(FairShare, "enter", enter)


@caught_by(
    f"{SCHEDULER}::test_a_newcomer_is_next_however_long_others_have_been_served",
    f"{ANSWERS}::test_a_small_batch_beside_a_large_one_starts_within_two_seconds",
)
def first_come_first_served() -> None:
    """The oldest batch is served until nothing of it is left."""
    from batchyard.dispatch.scheduler import FairShare

    def pick(self: Any, ready: Any) -> str | None:
        return next((batch for batch in self._batches if batch in ready), None)

    swap(FairShare, "pick", lambda _: pick)


@caught_by(
    "tests/dispatch/test_limiter.py::test_an_engine_that_takes_four_is_refused_less_than_once_per_request"
)
def pushback_ignored() -> None:
    """An engine that has too much to do gets as much as before."""
    from batchyard.dispatch.worker.limiter import Limiter

    swap(Limiter, "pushed_back", lambda _: lambda self, ticket, in_flight: None)


@caught_by(f"{TROUBLE}::test_shards_of_a_dead_engine_go_to_its_twin")
def dead_engine_keeps_its_shards() -> None:
    """Work at an engine that is down waits for this very engine."""
    from batchyard.dispatch.coordinator import Coordinator

    async def rehome(self: Any) -> None:
        return None

    swap(Coordinator, "rehome", lambda _: rehome)


@caught_by(
    "tests/dispatch/test_survival.py::test_a_batch_that_cannot_be_planned_keeps_nobody_waiting"
)
def one_bad_batch_stops_all() -> None:
    """A batch that cannot be planned ends the dispatch process."""
    from batchyard.dispatch.coordinator import Coordinator
    from batchyard.errors import StorageFailed

    def planned(sound: Any) -> Any:
        async def plan(*arguments: Any) -> Any:
            try:
                return await sound(*arguments)
            except Exception as error:
                raise StorageFailed(str(error)) from error

        return plan

    swap(Coordinator, "_planned", planned)


def _judged(kind: str, verdict: Any) -> None:
    """Let `verdict(retry, error, tries)` judge the failures of one class."""
    import sys

    from batchyard import errors
    from batchyard.dispatch.worker import retry

    sound = retry.judge

    def judge(error: Any, tries: Any, *rest: Any) -> Any:
        if isinstance(error, getattr(errors, kind)):
            return verdict(retry, error, tries)
        return sound(error, tries, *rest)

    for module in list(sys.modules.values()):
        if getattr(module, "judge", None) is sound:
            module.judge = judge  # type: ignore[attr-defined]
