"""One server per SDK version, and what its driver found there, gathered once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.live.conftest import Serve
from tests.live.harness.serving import Server
from tests.live.harness.upstream import Upstream
from tests.live.sdk.installed import PYTHON, TYPESCRIPT, python_facts, typescript_facts

Ask = Callable[..., dict[str, Any]]
SDKS = [f"python {version}" for version in PYTHON] + [f"typescript {v}" for v in TYPESCRIPT]


def facts_of(sdk: str, *arguments: str) -> dict[str, Any]:
    """What the driver of `sdk` ("python 2.10.0") prints for these arguments."""
    language, _, version = sdk.partition(" ")
    return (python_facts if language == "python" else typescript_facts)(version, *arguments)


@pytest.fixture(scope="module")
def sdk_server(serve_module: Serve) -> Iterator[Server]:
    """The simulator beside an upstream whose only model, `slow`, takes a second for two answers."""
    with Upstream(models=["slow"], latency=1.0) as slow:
        slow_engine = f"anthropic+{slow.url};concurrency=2"
        yield serve_module("--engine", "simulator:latency=1ms", "--engine", slow_engine)


@pytest.fixture(scope="module")
def tours(sdk_server: Server) -> Callable[[str], dict[str, Any]]:
    """`tours(sdk)` is the facts of the whole tour, run once per SDK."""
    known: dict[str, dict[str, Any]] = {}

    def look(sdk: str) -> dict[str, Any]:
        if sdk not in known:
            known[sdk] = facts_of(sdk, sdk_server.url, "simulator-1", "tour")
        return known[sdk]

    return look
