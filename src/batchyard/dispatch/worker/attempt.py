"""One try at answering one request: check the params, ask the engine, render the line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from batchyard import wire
from batchyard.batches.request import Entry, check, wanted_max_tokens
from batchyard.batches.result import Outcome
from batchyard.dispatch.fleet import ShardOrder
from batchyard.engine import Ask, Engine, Usage
from batchyard.errors import EngineError, ErrorType, Spent
from batchyard.telemetry import logger

log = logger(__name__)

NOTHING = Usage()


class Line(msgspec.Struct, frozen=True, gc=False):
    """An outcome with its rendered result line, ready to be written down."""

    outcome: Outcome
    bytes: bytes
    usage: Usage = NOTHING


async def attempt(
    engine: Engine, order: ShardOrder, entry: Entry, params: bytes, *, strict_version: bool
) -> Line:
    """Ask once. Raises `EngineError` when the try settled nothing; faulty params are settled here.

    A live server would answer those with a 400; in a batch they are a line of their own, and the
    engine is not bothered (some answer 500 to a missing field).
    """
    batch = order.batch
    try:
        if fault := check(params, api_version=batch.api_version, strict_version=strict_version):
            return errored(entry, fault.type, fault.message)
        reply = await engine.create_message(
            Ask(
                _fitted(params, order),
                order.model.id,
                f"{batch.id}:{entry.custom_id}",
                batch.api_version,
                batch.betas,
            )
        )
        line = wire.succeeded_line(entry.custom_id, wire.one_line(reply.message))
        return Line("succeeded", line, reply.usage)
    except EngineError:
        raise
    except Exception as error:
        raise _bug(engine, error) from error


@contextmanager
def bugs_told(engine: Engine) -> Iterator[None]:
    """A bug of the engine's adapter becomes `Spent`: it costs one try, not the batch."""
    try:
        yield
    except EngineError:
        raise
    except Exception as error:
        raise _bug(engine, error) from error


def _bug(engine: Engine, error: Exception) -> Spent:
    log.exception("engine_bug", engine=repr(engine))
    return Spent(f"{type(error).__name__} in the engine adapter: {error}")


def errored(entry: Entry, type: ErrorType, message: str) -> Line:
    """The line of a request that failed for good."""
    return Line("errored", wire.errored_line(entry.custom_id, type, message))


def unanswered(entry: Entry, outcome: Outcome) -> Line:
    """The line of a request that was never answered because its batch ended first."""
    assert outcome in ("canceled", "expired")
    return Line(outcome, wire.bare_line(entry.custom_id, outcome))


def _fitted(params: bytes, order: ShardOrder) -> bytes:
    """The params as the engine wants them: its own model name, `max_tokens` within its window.

    When neither differs the bytes are those the client sent.
    """
    cap = order.model.max_tokens
    renamed = order.requested_model != order.model.id
    if cap is None and not renamed:
        return params
    changes: dict[str, object] = {"model": order.model.id} if renamed else {}
    if cap is not None and (wanted_max_tokens(params) or 0) > cap:
        changes["max_tokens"] = cap
    return wire.with_fields(params, **changes) if changes else params
