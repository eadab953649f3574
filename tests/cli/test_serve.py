"""`serve`: what was given becomes settings, what was not is left to others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import batchyard.server
from batchyard.cli import failures
from batchyard.config import Settings
from batchyard.errors import DataDirectoryBusy
from tests.cli.conftest import Shell


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    seen: list[Settings] = []

    def run(settings: Settings, **_: object) -> int:
        seen.append(settings)
        return 0

    monkeypatch.setattr(batchyard.server, "run", run)
    return seen


@pytest.mark.parametrize(
    ("flags", "changed"),
    [
        ([], {}),
        (["--host", "::1"], {"host": "::1"}),
        (["--port", "0"], {"port": 0}),
        (["--data-dir", "/tmp/no-such-place"], {"data_dir": Path("/tmp/no-such-place")}),
        (["--engine", "simulator", "--engine", "http://h"], {"engines": ("simulator", "http://h")}),
        (["--role", "api"], {"role": "api"}),
        (["--concurrency", "auto"], {}),
        (["--concurrency", "12"], {"concurrency": 12}),
        (["--no-auto-alias"], {"auto_alias": False}),
        (["--insecure-no-auth"], {"insecure_no_auth": True}),
        (["--public-url", "https://b.example"], {"public_url": "https://b.example"}),
        (["--request-timeout", "30"], {"request_timeout_seconds": 30}),
        (["--drain-seconds", "0"], {"drain_seconds": 0}),
        (["--log-level", "debug"], {"log_level": "debug"}),
    ],
)
def test_a_flag_changes_its_setting_and_no_other(
    alone: Shell, given: list[Settings], flags: list[str], changed: dict[str, Any]
) -> None:
    done = alone("serve", *flags)
    assert (done.code, done.err) == (0, "")
    (settings,) = given
    assert settings.model_dump() == {**Settings.load().model_dump(), **changed}


def test_aliases_become_a_table(alone: Shell, given: list[Settings]) -> None:
    alone("serve", "--alias", "claude-a=qwen", "--alias", "b=ns/model:8b=x")
    assert given[0].models.aliases == {"claude-a": "qwen", "b": "ns/model:8b=x"}


def test_flags_come_before_variables_and_these_before_the_file(
    alone: Shell, given: list[Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "other.toml"
    config.write_text('port = 1\nlog_level = "error"\nhost = "h1"')
    monkeypatch.setenv("BATCHYARD_PORT", "2")
    monkeypatch.setenv("BATCHYARD_HOST", "h2")
    alone("serve", "--config", str(config), "--host", "h3")
    assert (given[0].log_level, given[0].port, given[0].host) == ("error", 2, "h3")


@pytest.mark.parametrize(
    "flags",
    [
        ["--alias", "x"],
        ["--alias", "=x"],
        ["--alias", "x="],
        ["--concurrency", "0"],
        ["--concurrency", "many"],
        ["--port", "65536"],
        ["--role", "both"],
        ["--request-timeout", "0"],
        ["--public-url", "nonsense"],
        ["--config", "/nowhere.toml"],
    ],
)
def test_what_cannot_be_is_exit_2_and_starts_nothing(
    alone: Shell, given: list[Settings], flags: list[str]
) -> None:
    done = alone("serve", *flags)
    assert done.code == failures.USAGE
    assert done.err.startswith("error: ")
    assert "Traceback" not in done.err
    assert given == []


def test_the_servers_status_is_the_exit_code(alone: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batchyard.server, "run", lambda _, **__: 7)
    assert alone("serve").code == 7


def test_with_json_it_says_one_event_when_it_is_ready(
    alone: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def run(_: Settings, *, until_stdin_ends: bool, on_ready: Any) -> int:
        asked.append(until_stdin_ends)
        if on_ready is not None:
            on_ready("http://127.0.0.1:7", ["m"])
        return 0

    monkeypatch.setattr(batchyard.server, "run", run)
    (event,) = alone("serve", "--json", "--until-stdin-ends").events
    assert event == {
        "schema_version": 1, "event": "ready", "url": "http://127.0.0.1:7", "models": ["m"],
    }  # fmt: skip
    assert alone("serve").out == ""
    assert asked == [True, False]
    assert "--until-stdin-ends" not in alone("serve", "--help").out


def test_a_second_server_is_told_in_one_sentence(
    alone: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(_: Settings, **__: object) -> int:
        raise DataDirectoryBusy("the data directory d is in use", fix="give it its own --data-dir")

    monkeypatch.setattr(batchyard.server, "run", busy)
    done = alone("serve")
    assert done.code == failures.USAGE
    assert done.err == (
        "error: the data directory d is in use\n"
        "  fix: give it its own --data-dir\n"
        " docs: batchyard serve --help\n"
    )
