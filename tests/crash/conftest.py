"""Fixtures of the crash tests: a recording upstream, and the server fixtures of the live tests."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest

from tests.live.conftest import pytest_runtest_makereport, serve, serve_module
from tests.live.harness.upstream import Upstream

__all__ = ["pytest_runtest_makereport", "serve", "serve_module"]


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """The echo, slow enough that a kill always finds calls in flight."""
    with Upstream(latency=0.03) as upstream:
        yield upstream


@pytest.fixture
def dice(request: pytest.FixtureRequest) -> random.Random:
    """Random moments that can be had again: `BATCHYARD_SEED=N` (pytest prints N on failure)."""
    seed = int(os.environ.get("BATCHYARD_SEED") or random.SystemRandom().randrange(10**6))
    print(f"BATCHYARD_SEED={seed}")
    return random.Random(seed)
