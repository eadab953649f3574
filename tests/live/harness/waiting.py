"""Waiting for a condition with a deadline: the only place outside tests may sleep."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(
    condition: Callable[[], T], *, within: float, every: float = 0.02, what: str = ""
) -> T:
    """The first truthy value of `condition()`; fails after `within` seconds with the last one.

    A condition that raises `OSError` or `AssertionError` counts as not yet true.
    """
    deadline = time.monotonic() + within
    last: object = None
    while True:
        try:
            value = condition()
        except (OSError, AssertionError) as error:
            last = error
        else:
            if value:
                return value
            last = value
        if time.monotonic() > deadline:
            described = what or getattr(condition, "__name__", "condition")
            raise AssertionError(f"not within {within} s: {described}; last seen: {last!r}")
        time.sleep(every)


def throughout(condition: Callable[[], object], *, seconds: float, every: float = 0.05) -> None:
    """Assert that `condition()` stays truthy for `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        assert value, f"became {value!r}"
        time.sleep(every)
