"""The manifest of a run: what was asked, of which rows, where, and where the answers go."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from batchyard.errors import NoRun

NAME = "manifest.json"

BATCH_SIZE = 100_000
BODY_BYTES = 256_000_000
IN_PROCESS_MAX = 4
REPAIR = 1


class Input(msgspec.Struct, frozen=True):
    """The dataset. `sha256` is the source's fingerprint; `rows` is None until all were read."""

    name: str
    path: str
    format: str
    sha256: str
    bytes: int | None = None
    rows: int | None = None
    options: dict[str, Any] = {}


class Output(msgspec.Struct, frozen=True):
    """The labelled file. `prefix` begins the names of status, error and token columns."""

    path: str | None = None
    format: str | None = None
    prefix: str | None = "_"
    raw: bool = False
    force: bool = False


class Where(msgspec.Struct, frozen=True):
    """Where rows go: the address of a server, or engines under a server of the run's own."""

    server: str | None = None
    engines: list[str] = []


class Options(msgspec.Struct, frozen=True):
    """How rows are sent: at most `batch_size` rows and `body_bytes` in a batch, `in_process_max`
    batches on the server at once; an answer that does not fit is asked for `repair` times more.
    `look_seconds` lie between two looks at batches, None for what the server's make asks for."""

    batch_size: int = BATCH_SIZE
    body_bytes: int = BODY_BYTES
    in_process_max: int = IN_PROCESS_MAX
    repair: int = REPAIR
    look_seconds: float | None = None


class Caps(msgspec.Struct, frozen=True):
    """What a run may take at most: dollars, tokens in and out, hours; None for no cap."""

    max_cost: str | None = None
    max_tokens_total: int | None = None
    max_hours: float | None = None


class Manifest(msgspec.Struct, frozen=True):
    """All of it. `task` is what `Task.as_manifest` gave; `version` that of the program."""

    run: str
    created_at: str
    version: str
    input: Input
    task: dict[str, Any]
    output: Output = Output()
    where: Where = Where()
    options: Options = Options()
    caps: Caps = Caps()

    @property
    def tag(self) -> str:
        """What the custom_ids of the run begin with: the letters of its id."""
        return self.run.removeprefix("run_")


def read(folder: Path) -> Manifest:
    """The manifest in a run's folder; raises `NoRun` where there is none."""
    try:
        return msgspec.json.decode((folder / NAME).read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise NoRun(f"there is no run in {folder}", fix="`batchyard runs` lists them") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NoRun(
            f"{folder / NAME} cannot be read: {error}",
            fix="a newer batchyard may have written it; the answers are in rows.db beside it",
        ) from error


def write(folder: Path, manifest: Manifest) -> None:
    """Replace the manifest as a whole; it is durable on return. Raises OSError."""
    written = folder / f"{NAME}.new"
    with written.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    written.replace(folder / NAME)
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
