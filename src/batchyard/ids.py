"""Opaque identifiers: a type prefix, `01`, and 22 base-58 characters that sort by time of birth."""

from __future__ import annotations

import re
import secrets
import threading

from batchyard.clock import Microseconds

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_LENGTH = 22
_TIME_BITS, _RANDOM_BITS = 56, 72
_VALID_BATCH = re.compile(r"msgbatch_01[1-9A-HJ-NP-Za-km-z]{22}\Z")


def _base58(number: int) -> str:
    digits = []
    for _ in range(_LENGTH):
        number, digit = divmod(number, 58)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))


class IdMint:
    """Makes ids whose text order is their order of birth, even when the wall clock steps back.

    `last` is the newest id already in the catalog, so the order also holds across a restart.
    """

    def __init__(self, last: str | None = None) -> None:
        self._lock = threading.Lock()
        self._last_time = _time_of(last) if last else 0

    def mint(self, prefix: str, now: Microseconds) -> str:
        with self._lock:
            moment = max(now, self._last_time + 1) & ((1 << _TIME_BITS) - 1)
            self._last_time = moment
        return prefix + "01" + _base58((moment << _RANDOM_BITS) | secrets.randbits(_RANDOM_BITS))


def batch_id(mint: IdMint, now: Microseconds) -> str:
    return mint.mint("msgbatch_", now)


def is_batch_id(text: str) -> bool:
    """Whether `text` has the shape of our batch ids; asked before any query or path sees it."""
    return _VALID_BATCH.match(text) is not None


def request_id() -> str:
    """A `req_` id for one HTTP exchange; random, no order."""
    return "req_01" + _base58(secrets.randbits(_TIME_BITS + _RANDOM_BITS))


def message_id() -> str:
    """A `msg_` id for an answer whose engine gave none."""
    return "msg_01" + _base58(secrets.randbits(_TIME_BITS + _RANDOM_BITS))


def tool_use_id() -> str:
    """A `toolu_` id for a tool call whose engine gave none."""
    return "toolu_01" + _base58(secrets.randbits(_TIME_BITS + _RANDOM_BITS))


def _time_of(batch: str) -> int:
    number = 0
    for letter in batch[-_LENGTH:]:
        number = number * 58 + _ALPHABET.index(letter)
    return number >> _RANDOM_BITS
