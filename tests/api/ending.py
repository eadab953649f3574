"""Makes batches move without the dispatch process: by the store's own verbs, as a worker would."""

from __future__ import annotations

from collections.abc import Callable

from batchyard import wire
from batchyard.batches.result import Outcome
from batchyard.store.store import ShardPlan, Store

Choose = Callable[[str], Outcome]


def message(text: str = "hello") -> bytes:
    """A Message as an engine answers it."""
    return wire.encode(
        {
            "id": "msg_01",
            "type": "message",
            "role": "assistant",
            "model": "tiny",
            "content": [{"type": "text", "text": text}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 3, "output_tokens": 5},
        }
    )


def line(custom_id: str, outcome: Outcome, text: str = "hello") -> bytes:
    """The result line of a request."""
    if outcome == "succeeded":
        return wire.succeeded_line(custom_id, message(text))
    if outcome == "errored":
        return wire.errored_line(custom_id, "invalid_request_error", "messages: Field required")
    return wire.bare_line(custom_id, outcome)


async def settle(
    store: Store,
    batch_id: str,
    *,
    choose: Choose = lambda _: "succeeded",
    count: int | None = None,
    text: str = "hello",
) -> None:
    """Give the first `count` requests (all, if None) their result; all settled ends the batch."""
    shards = await store.shards(batch_id)
    if not shards:
        body = await store.body(batch_id)
        shards = await store.plan(batch_id, body, [ShardPlan("tiny", list(body.entries()))])
    taken = await store.take(batch_id, shards[0].number)
    for entry in taken.todo[:count]:
        outcome = choose(entry.custom_id)
        store.append(taken, entry, outcome, line(entry.custom_id, outcome, text))
    await store.flush()
    taken.close()
