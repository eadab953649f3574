"""The six operations on batches. Each writes down a wish or reads; none of them does any work."""

from __future__ import annotations

from starlette.responses import Response

from batchyard import ids, wire
from batchyard.api import render
from batchyard.api.bodies import intake
from batchyard.api.call import Call
from batchyard.api.context import ApiContext
from batchyard.api.results import reading
from batchyard.batches.batch import Batch, NewBatch
from batchyard.batches.limits import PAGE_DEFAULT, PAGE_MAX
from batchyard.errors import InvalidRequest, NotFound

POLL_SECONDS = 10
"""What a poll of an unfinished batch is told as `retry-after`: a hint that SDKs ignore."""

IDEMPOTENCY_KEY_MAX = 255


class Batches:
    """The handlers of `/v1/messages/batches` and below."""

    def __init__(self, context: ApiContext) -> None:
        self._context = context
        self._store = context.store

    async def create(self, call: Call) -> Response:
        """Check the envelope while it arrives, write it down, answer: durable from then on."""
        version = call.api_version()
        idempotency_key = _idempotency_key(call)
        spool, requests = await intake.receive(call, self._store, self._context.limits)
        try:
            new = NewBatch(
                workspace_id=call.caller.workspace_id,
                requests=requests,
                body_sha256=spool.sha256(),
                api_version=version,
                betas=call.betas(),
                key_id=call.caller.key_id,
                user_profile_id=call.headers.get("anthropic-user-profile-id"),
                idempotency_key=idempotency_key,
                sdk_retry=_is_sdk_retry(call),
            )
            batch = await self._store.create(spool, new, self._context.limits)
        finally:
            spool.discard()
        self._context.notify(batch.id)
        return self._shown(call, batch)

    async def retrieve(self, call: Call) -> Response:
        """The batch as it is now; an unfinished one comes with a hint when to ask again."""
        batch = await self._store.batch(call.caller.workspace_id, _batch_id(call))
        return self._shown(call, batch, hint=batch.processing_status != "ended")

    async def page(self, call: Call) -> Response:
        """One page, newest first; a cursor may be the id of a batch that is gone."""
        limit, after_id, before_id = page_query(call)
        for name, cursor in (("after_id", after_id), ("before_id", before_id)):
            if cursor is not None and not ids.is_batch_id(cursor):
                raise InvalidRequest(f'{name}: "{cursor[:100]}" is not the id of a batch.')
        found = await self._store.batches(
            call.caller.workspace_id, limit=limit, after_id=after_id, before_id=before_id
        )
        shown = [self._object(call, batch) for batch in found.data]
        return render.Json(render.page(shown, has_more=found.has_more))

    async def cancel(self, call: Call) -> Response:
        """Durable when answered; never waits for what is running. Any body is ignored."""
        batch = await self._store.cancel(call.caller.workspace_id, _batch_id(call))
        self._context.notify(batch.id)
        return self._shown(call, batch)

    async def delete(self, call: Call) -> Response:
        """Gone for good, if it has ended. Any body is ignored."""
        batch_id = _batch_id(call)
        await self._store.delete(call.caller.workspace_id, batch_id)
        self._context.notify(batch_id)
        return render.Json(wire.DeletedMessageBatch(batch_id))

    async def results(self, call: Call) -> Response:
        """The result lines as they were written, or the part of them that `Range` names."""
        batch_id = _batch_id(call)
        found = await self._store.results(call.caller.workspace_id, batch_id)
        return reading.answer(call, batch_id, found)

    def _object(self, call: Call, batch: Batch) -> wire.MessageBatch:
        context = self._context
        origin = call.origin(context.public_url, context.trusted_proxies)
        return render.message_batch(
            batch, origin, documented_counts=context.compat.documented_counts
        )

    def _shown(self, call: Call, batch: Batch, *, hint: bool = False) -> Response:
        hints = ((b"retry-after", b"%d" % POLL_SECONDS),) if hint else ()
        return render.Json(self._object(call, batch), *hints)


def page_query(call: Call) -> tuple[int, str | None, str | None]:
    """`limit`, `after_id`, `before_id` of a list call; other query keys are ignored."""
    query = call.query_params
    after_id, before_id = query.get("after_id") or None, query.get("before_id") or None
    if after_id and before_id:
        raise InvalidRequest("after_id: Cannot be used together with before_id.")
    return _limit(query.get("limit")), after_id, before_id


def _limit(text: str | None) -> int:
    if not text:
        return PAGE_DEFAULT
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal()) or len(digits) > 18:
        raise InvalidRequest(
            "limit: Input should be a valid integer, unable to parse string as an integer"
        )
    limit = int(text)
    if limit < 1:
        raise InvalidRequest("limit: Input should be greater than or equal to 1")
    if limit > PAGE_MAX:
        raise InvalidRequest(f"limit: Input should be less than or equal to {PAGE_MAX}")
    return limit


def _batch_id(call: Call) -> str:
    """The id in the path, its alphabet checked before any query or file name sees it."""
    batch_id: str = call.path_params["batch_id"]
    if not ids.is_batch_id(batch_id):
        raise NotFound(f"Message Batch {batch_id[:100]} not found.")
    return batch_id


def _is_sdk_retry(call: Call) -> bool:
    """Whether an SDK says that it sent this before: they repeat a create without any key."""
    count = call.headers.get("x-stainless-retry-count", "")
    return count.isdecimal() and int(count[:4]) >= 1


def _idempotency_key(call: Call) -> str | None:
    key = call.headers.get("idempotency-key")
    if key is not None and not 0 < len(key) <= IDEMPOTENCY_KEY_MAX:
        raise InvalidRequest(
            f"Idempotency-Key: Must be 1 to {IDEMPOTENCY_KEY_MAX} characters, got {len(key)}."
        )
    return key
