"""Fixtures of the crash tests: a recording upstream, strace, figures, and servers on demand."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import asdict

import pytest

from tests.crash.disks import loop_disks, small_disks
from tests.crash.figures import PROPERTY, Figures
from tests.crash.tracing import strace
from tests.live.conftest import pytest_runtest_makereport, serve, serve_module
from tests.live.harness.upstream import Upstream
from tests.store.conftest import plain_logs

__all__ = [
    "loop_disks", "plain_logs", "pytest_runtest_makereport", "serve", "serve_module", "small_disks",
    "strace",
]  # fmt: skip


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


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Iterator[Figures]:
    """What this test counts; printed as a sum over all tests at the end of the run."""
    counted = Figures()
    yield counted
    request.node.user_properties.append((PROPERTY, asdict(counted)))
