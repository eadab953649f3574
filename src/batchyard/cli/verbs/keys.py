"""`batchyard keys`: API keys, made and ended in the data directory itself, server or no server."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from batchyard.cli import shown, talk
from batchyard.cli.options import json_options
from batchyard.cli.program import Nouns
from batchyard.clock import SECOND, SystemClock, rfc3339
from batchyard.errors import ConfigurationError, NotFound

if TYPE_CHECKING:
    from batchyard.store.keys import Key, Keys

F = TypeVar("F", bound=Callable[..., Any])

_DURATION = re.compile(r"([1-9][0-9]{0,4})([mhd])\Z")
_UNIT_SECONDS = {"m": 60, "h": 3600, "d": 86_400}
_SECRET = re.compile(r"by_([0-9A-Za-z]+)_[0-9A-Za-z]+\Z")


class Duration(click.ParamType[int]):
    """`90d`, `12h`, `30m`, as seconds."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = _DURATION.match(str(value))
        if found is None:
            self.fail(f"{value!r} should look like 90d, 12h or 30m", param, ctx)
        return int(found[1]) * _UNIT_SECONDS[found[2]]


def data_options(function: F) -> F:
    """`--data-dir` and `--config`: which server's keys."""
    function = json_options(function)
    function = click.option(
        "--config",
        "config_file",
        type=click.Path(path_type=Path, dir_okay=False),
        help="The config file, instead of batchyard.toml in the usual places.",
    )(function)
    return click.option(
        "--data-dir",
        type=click.Path(path_type=Path, file_okay=False),
        help="The server's data directory, as `batchyard serve` has it.",
    )(function)


@click.group(
    "keys",
    cls=Nouns,
    examples=("batchyard keys create --name nightly --expires 90d", "batchyard keys list"),
    help="Create, list and revoke API keys.\n\n"
    "They are kept in the data directory, so this works on the server's machine, whether the "
    "server runs or not. From the first key on, every call needs one.",
)
def keys_command() -> None:
    """The noun; everything happens in its verbs."""


@keys_command.command(
    "create",
    examples=(
        "batchyard keys create --name nightly --expires 90d",
        "export BATCHYARD_API_KEY=$(batchyard keys create --name me)",
    ),
    help="Create a key.\n\nIt is printed once and kept only as a hash.",
)
@click.option("--name", required=True, help="Whose it is, or what for.")
@click.option("--workspace", metavar="ID", help="The workspace it opens.  [default: the first]")
@click.option("--expires", type=Duration(), help="When it ends, like 90d or 12h.  [default: never]")
@data_options
def create_key(
    *,
    name: str,
    workspace: str | None,
    expires: int | None,
    data_dir: Path | None,
    config_file: Path | None,
    as_json: bool,
) -> None:
    clock = SystemClock()
    end = None if expires is None else clock.now() + expires * SECOND
    workspace_of = {} if workspace is None else {"workspace_id": workspace}
    with _keys(_directory(data_dir, config_file)) as keys:
        key, secret = keys.create(name, expires=end, **workspace_of)
    if as_json:
        talk.event("key_created", key=_fields(key), secret=secret)
        return
    talk.data(secret)
    until = "never expires" if end is None else f"expires {shown.moment(rfc3339(end), clock.now())}"
    talk.say(f"shown once, store it now; key {key.id} of {key.workspace_id}, {until}")


@keys_command.command(
    "list",
    examples=("batchyard keys list", "batchyard keys list --json"),
    help="List all keys.\n\nAlso revoked and expired ones; never the keys themselves.",
)
@data_options
def list_keys(*, data_dir: Path | None, config_file: Path | None, as_json: bool) -> None:
    directory = _directory(data_dir, config_file)
    if not _exists(directory):
        found = []
    else:
        with _keys(directory) as keys:
            found = keys.list()
    if as_json:
        talk.event("keys", keys=[_fields(key) for key in found])
    elif not found:
        talk.say(f"no keys in {directory}: the server lets in this machine only")
    else:
        rows = [("ID", "NAME", "WORKSPACE", "KEY", "STATE"), *map(_row, found)]
        for line in shown.columns(rows):
            talk.data(line)


@keys_command.command(
    "revoke",
    examples=("batchyard keys revoke k7Q2x9Jv0a", "batchyard keys revoke k7Q2x9Jv0a --json"),
    help="End a key for good.\n\nKEY is its id, or the key itself. Holds within a second.",
)
@click.argument("key_id", metavar="KEY")
@data_options
def revoke_key(
    *, key_id: str, data_dir: Path | None, config_file: Path | None, as_json: bool
) -> None:
    secret = _SECRET.match(key_id)
    wanted = secret[1] if secret else key_id.removeprefix("by_")
    directory = _directory(data_dir, config_file)
    if not _exists(directory):
        raise NotFound(f"there are no keys in {directory}", fix="check --data-dir")
    with _keys(directory) as keys:
        try:
            key = keys.revoke(wanted)
        except NotFound as error:
            known = [key.id for key in keys.list()]
            near = difflib.get_close_matches(wanted, known, n=1)
            error.fix = f"did you mean {near[0]}?" if near else "batchyard keys list"
            raise
    if as_json:
        talk.event("key_revoked", key=_fields(key))
    else:
        talk.data(key.id)
        talk.say(f'revoked; it was "{key.name}"')


def _directory(data_dir: Path | None, config_file: Path | None) -> Path:
    """The data directory, found as `batchyard serve` finds it."""
    from batchyard.config import Settings

    return Settings.load(config_file, data_dir=data_dir).data_dir


def _exists(directory: Path) -> bool:
    return (directory / "batchyard.db").is_file()


@contextmanager
def _keys(directory: Path) -> Iterator[Keys]:
    from batchyard.store.catalog.database import Catalog
    from batchyard.store.keys import Keys
    from batchyard.store.lock import make_private_folder

    os.umask(0o077)
    try:
        make_private_folder(directory)
    except OSError as error:
        raise ConfigurationError(
            f"cannot use the data directory {directory}: {error.strerror}",
            fix="choose another with --data-dir, or mend its permissions",
        ) from error
    catalog = Catalog(directory / "batchyard.db")
    try:
        yield Keys(catalog, SystemClock())
    finally:
        catalog.close()


def _state(key: Key) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "valid" if key.valid(SystemClock().now()) else "expired"


def _row(key: Key) -> tuple[str, ...]:
    return key.id, key.name, key.workspace_id, f"by_{key.id}_...{key.hint}", _state(key)


def _fields(key: Key) -> dict[str, Any]:
    def moment(at: int | None) -> str | None:
        return None if at is None else rfc3339(at)

    return {
        "id": key.id,
        "name": key.name,
        "workspace_id": key.workspace_id,
        "hint": key.hint,
        "state": _state(key),
        "created_at": moment(key.created_at),
        "expires_at": moment(key.expires_at),
        "revoked_at": moment(key.revoked_at),
    }
