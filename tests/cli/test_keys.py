"""`keys`: made, listed and ended in a data directory, with a server or without."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from batchyard.cli import failures
from batchyard.clock import SystemClock
from batchyard.store.catalog.database import Catalog
from batchyard.store.keys import Keys
from tests.cli.conftest import Shell


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def valid(data: Path, secret: str) -> bool:
    """Whether a server on `data` would let this key in."""
    catalog = Catalog(data / "batchyard.db")
    try:
        return Keys(catalog, SystemClock()).find(secret) is not None
    finally:
        catalog.close()


def test_a_key_is_the_only_thing_on_stdout_and_works(alone: Shell, data: Path) -> None:
    done = alone("keys", "create", "--name", "me", "--data-dir", str(data))
    assert done.code == 0
    secret = done.out.removesuffix("\n")
    assert valid(data, secret)
    assert secret not in done.err
    assert "never expires" in done.err


def test_what_is_made_is_private(alone: Shell, data: Path) -> None:
    alone("keys", "create", "--name", "me", "--data-dir", str(data))
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in data.iterdir())


def test_keys_are_listed_without_their_secrets(alone: Shell, data: Path) -> None:
    where = ("--data-dir", str(data))
    secrets = [
        alone("keys", "create", "--name", name, "--expires", "90d", *where).out.strip()
        for name in ("me", "you")
    ]
    done = alone("keys", "list", *where)
    assert [line.split()[1] for line in done.out.splitlines()] == ["NAME", "me", "you"]
    assert all(secret not in done.out for secret in secrets)
    (event,) = alone("keys", "list", "--json", *where).events
    assert [key["state"] for key in event["keys"]] == ["valid", "valid"]
    assert all(key["expires_at"] for key in event["keys"])


@pytest.mark.parametrize("by", ["id", "secret"])
def test_a_revoked_key_lets_nobody_in(alone: Shell, data: Path, by: str) -> None:
    where = ("--data-dir", str(data), "--json")
    (made,) = alone("keys", "create", "--name", "me", *where).events
    done = alone("keys", "revoke", made["key"]["id"] if by == "id" else made["secret"], *where)
    assert done.events[0]["key"]["state"] == "revoked"
    assert not valid(data, made["secret"])


def test_an_unknown_key_gets_the_nearest_id(alone: Shell, data: Path) -> None:
    where = ("--data-dir", str(data))
    (made,) = alone("keys", "create", "--name", "me", "--json", *where).events
    known: str = made["key"]["id"]
    done = alone("keys", "revoke", known[:-1] + "_", *where)
    assert done.code == failures.USAGE
    assert f"did you mean {known}?" in done.err


@pytest.mark.parametrize("verb", [["list"], ["revoke", "x"]])
def test_looking_makes_no_data_directory(alone: Shell, data: Path, verb: list[str]) -> None:
    alone("keys", *verb, "--data-dir", str(data))
    assert not data.exists()


@pytest.mark.parametrize("text", ["90", "d", "0d", "-1d", "1y", "1.5h", "100000d"])
def test_what_is_no_time_is_refused(alone: Shell, data: Path, text: str) -> None:
    done = alone("keys", "create", "--name", "me", f"--expires={text}", "--data-dir", str(data))
    assert done.code == failures.USAGE
    assert "90d, 12h or 30m" in done.err


def test_a_directory_that_cannot_be_is_told(alone: Shell, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    done = alone("keys", "create", "--name", "me", "--data-dir", str(blocked / "data"))
    assert done.code == failures.USAGE
    assert "cannot use the data directory" in done.err


def test_the_data_directory_is_the_servers(alone: Shell, tmp_path: Path) -> None:
    data = tmp_path / "from-config"
    config = tmp_path / "batchyard.toml"
    config.write_text(f'data_dir = "{data}"')
    alone("keys", "create", "--name", "me", "--config", str(config))
    assert (data / "batchyard.db").is_file()
