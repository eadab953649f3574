"""How long a test goes on: briefly in `make test`, until its time is up in `make torture`."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

SECONDS_VARIABLE = "TORTURE_SECONDS"


def timeout(seconds: float) -> pytest.MarkDecorator:
    """The bound of a test: `seconds` of its short form, and in torture its share on top."""
    return pytest.mark.timeout(seconds + 2 * float(os.environ.get(SECONDS_VARIABLE, "0")))


def long_form() -> bool:
    """Whether this is torture."""
    return SECONDS_VARIABLE in os.environ


def rounds(short: int) -> Iterator[int]:
    """0, 1, 2, … up to `short`; in torture further, until the seconds of this test are over."""
    until = time.monotonic() + float(os.environ.get(SECONDS_VARIABLE, "0"))
    number = 0
    while number < short or time.monotonic() < until:
        yield number
        number += 1
