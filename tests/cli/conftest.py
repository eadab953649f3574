"""The program run in this process, against a scripted server or none."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from click.testing import CliRunner

from batchyard.cli.program import program
from batchyard.client import http
from tests.client.stub import Stub, stub


@dataclass(frozen=True)
class Done:
    """How a run ended."""

    code: int
    out: str
    err: str

    @property
    def events(self) -> list[Any]:
        """Standard output as JSON envelopes, each checked for its version."""
        events = [json.loads(line) for line in self.out.splitlines()]
        assert all(event["schema_version"] == 1 for event in events)
        return events


class Shell:
    """Runs `batchyard` with an environment that holds no variable of ours but `env`."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.env = dict(env)

    def __call__(self, *arguments: str, stdin: bytes | str = b"", **env: str) -> Done:
        ran = CliRunner(env={**self.env, **env}).invoke(program, list(arguments), input=stdin)
        assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exception
        return Done(ran.exit_code, ran.stdout, ran.stderr)


@pytest.fixture
def server() -> Iterator[Stub]:
    with stub() as found:
        yield found


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    import os

    for name in os.environ:
        if name.startswith(("BATCHYARD_", "ANTHROPIC_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(http, "BACKOFF_SECONDS", 0.0)


@pytest.fixture
def batchyard(server: Stub) -> Shell:
    """The program, its server the scripted one."""
    return Shell({"BATCHYARD_SERVER": server.url})


@pytest.fixture
def alone() -> Shell:
    """The program without a server."""
    return Shell({"BATCHYARD_SERVER": "http://127.0.0.1:1"})
