"""One line of results, and what it makes of its row."""

from __future__ import annotations

from typing import Literal

import msgspec

from batchyard.pipeline.prompt import Misfit
from batchyard.pipeline.run.collecting.kinds import kind_of
from batchyard.pipeline.run.contract import TaskLike
from batchyard.pipeline.run.store import Settled


class _Usage(msgspec.Struct, gc=False, frozen=True):
    input_tokens: int = 0
    output_tokens: int = 0
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None


class _Message(msgspec.Struct, gc=False, frozen=True):
    """As much of a message as is told of a row; its answer is read by the task."""

    usage: _Usage = _Usage()
    model: str | None = None
    stop_reason: str | None = None


class _Fault(msgspec.Struct, gc=False, frozen=True):
    type: str = "api_error"
    message: str = ""


class _Envelope(msgspec.Struct, gc=False, frozen=True):
    error: _Fault = _Fault()


class _Result(msgspec.Struct, gc=False, frozen=True):
    type: Literal["succeeded", "errored", "canceled", "expired"]
    message: msgspec.Raw = msgspec.Raw(b"")
    error: _Envelope = _Envelope()


class Line(msgspec.Struct, gc=False, frozen=True):
    """A line as it came."""

    custom_id: str
    result: _Result


_line = msgspec.json.Decoder(Line).decode
_message = msgspec.json.Decoder(_Message).decode
_encode = msgspec.json.Encoder().encode
_NOTHING_SAID = _Message()

_BARE = {
    "canceled": "the batch was canceled before this row was asked",
    "expired": "the batch expired before this row was asked",
}


def decoded(line: bytes) -> Line | None:
    """The line, None when it is no result."""
    try:
        return _line(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


class Verdict:
    """Says what a line makes of its row.

    An answer that does not fit is asked for again up to `repair` times. One that was asked as an
    earlier `task` said, where `stale`, is asked for afresh.
    """

    def __init__(self, task: TaskLike, repair: int, *, stale: bool) -> None:
        self._task, self._repair, self._stale = task, repair, stale

    def settled(self, line: Line, position: int, repairs: int) -> Settled:
        """The row at `position`, which was repaired `repairs` times before."""
        result = line.result
        if result.type == "succeeded":
            return self._answered(bytes(result.message), position, repairs)
        if result.type == "errored":
            fault = result.error.error
            kind = kind_of(fault.type, fault.message)
            return Settled(position, "errored", error_type=kind, error=fault.message)
        return Settled(position, result.type, error_type=result.type, error=_BARE[result.type])

    def _answered(self, message: bytes, position: int, repairs: int) -> Settled:
        try:
            said = _message(message)
        except (msgspec.DecodeError, UnicodeDecodeError):
            said = _NOTHING_SAID
        usage = said.usage
        sent = usage.input_tokens
        if usage.cache_creation_input_tokens or usage.cache_read_input_tokens:
            sent += usage.cache_creation_input_tokens or 0
            sent += usage.cache_read_input_tokens or 0
        told = (said.stop_reason, sent, usage.output_tokens, said.model)
        try:
            reading = self._task.read(message)
        except Misfit as misfit:
            if self._stale:
                return Settled(position, "waiting", None, None, None, None, *told, 0)
            again = repairs < self._repair
            return Settled(
                position, "waiting" if again else "errored", None, misfit.raw, misfit.kind,
                misfit.message, *told, repairs + again,
            )  # fmt: skip
        answer = _encode(reading.answer).decode()
        return Settled(position, "succeeded", answer, reading.raw, None, None, *told, repairs)
