"""How a simulator is told to behave: `latency=50ms,seed=7,faults=0.02`, checked one by one."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from batchyard.errors import ConfigurationError

_DURATION = re.compile(r"([0-9]*\.?[0-9]+)(us|ms|s|m|h)?\Z")
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class Options:
    """The behaviour of a simulator. Times are seconds, shares lie between 0 and 1.

    A request takes `latency` (give or take `jitter`), `prefill` per input token that was not in the
    cache, and `decode` per output token, in one of `slots`. `length` is the mean length of answers
    in tokens, 0 for as short as they come. `context` is the most input tokens taken. `down` is a
    time span after the start in which nobody answers.

    Of all requests the share `permanent` is always refused with a 400; of all tries the share
    `faults` ends in a 500 and `overload` in a 429 with `retry-after`. `limit` answers 429 above so
    many at once, 0 never.
    """

    models: tuple[str, ...] = ("simulator-1",)
    seed: int = 0
    slots: int = 64
    kv_blocks: int = 4096
    context: int = 200_000
    length: int = 0
    limit: int = 0
    latency: float = 0.0
    jitter: float = 0.0
    prefill: float = 0.0
    decode: float = 0.0
    faults: float = 0.0
    permanent: float = 0.0
    overload: float = 0.0
    retry_after: float = 1.0
    down: tuple[float, float] = (0.0, 0.0)


def parse(options: Mapping[str, str]) -> Options:
    """`Options` from their text forms; raises `ConfigurationError` naming the nearest option."""
    found: dict[str, Any] = {}
    for name, text in options.items():
        if name not in _READERS:
            near = difflib.get_close_matches(name, _READERS, n=1)
            raise ConfigurationError(
                f'engine simulator: there is no option "{name}"',
                fix=f"{near[0]}={text}" if near else f"one of {', '.join(_READERS)}",
            )
        try:
            value = _READERS[name](text)
        except ValueError as error:
            raise ConfigurationError(f"engine simulator: {name}={text}: {error}") from None
        found["models" if name == "model" else name] = value
    return Options(**found)


def seconds(text: str) -> float:
    """`50ms`, `1.5s`, `200us`, `2m`; a bare number is seconds."""
    match = _DURATION.match(text.strip())
    if not match:
        raise ValueError("not a time, such as 50ms or 1.5s")
    return float(match[1]) * _UNITS[match[2] or "s"]


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise ValueError("not a share between 0 and 1")
    return share


def _whole(least: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or int(text) < least:
            raise ValueError(f"not a whole number of at least {least}")
        return int(text)

    return read


def _span(text: str) -> tuple[float, float]:
    """`30s` is the first 30 seconds, `10s-40s` from the tenth to the fortieth."""
    first, dash, last = text.partition("-")
    return (seconds(first), seconds(last)) if dash else (0.0, seconds(first))


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split("+"))
    if not all(names):
        raise ValueError("not a model name, nor several joined by +")
    return names


_READERS: dict[str, Callable[[str], Any]] = {
    "latency": seconds,
    "jitter": seconds,
    "prefill": seconds,
    "decode": seconds,
    "length": _whole(0),
    "slots": _whole(1),
    "kv_blocks": _whole(0),
    "context": _whole(1),
    "seed": _whole(0),
    "model": _names,
    "faults": _share,
    "permanent": _share,
    "overload": _share,
    "retry_after": seconds,
    "limit": _whole(0),
    "down": _span,
}
