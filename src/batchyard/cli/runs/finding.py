"""Runs as people name them: an id, a folder, or nothing for the newest; and a run that fits."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from batchyard.errors import RunChanged

if TYPE_CHECKING:
    from batchyard.pipeline.prompt import ReadyMade, Task
    from batchyard.pipeline.run.store.manifest import Manifest
    from batchyard.pipeline.source import Source

FOLDER = ".batchyard"


def home_of(file: str) -> Path:
    """Where the runs of a file are kept: beside it; those of standard input right here."""
    return (Path() if file == "-" else Path(file).parent) / FOLDER


def place_of(run: str | None) -> tuple[Path, str | None]:
    """The folder of runs and the id that the user means by an id, a folder, or nothing."""
    if run is None or "/" not in run.rstrip("/"):
        return Path(FOLDER), run and run.rstrip("/")
    path = Path(run)
    return path.parent, path.name


def spoken(path: Path, *, newest: bool) -> str:
    """What names a run on a command line typed here: nothing where it would be found anyway."""
    if path.parent == Path(FOLDER):
        return "" if newest else path.name
    return str(path)


def shown(path: Path | str) -> str:
    """A path as it is typed here: relative to this folder where it lies in it."""
    path = Path(path)
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_absolute() and path.is_relative_to(here) else path)


def command(verb: str, path: Path, *, newest: bool) -> str:
    """`batchyard resume`, with the run where that must be said."""
    run = spoken(path, newest=newest)
    return shlex.join(["batchyard", verb, *([run] if run else [])])


@dataclass(frozen=True, slots=True)
class Fit:
    """An earlier run of the same rows: `run` None for none, `note` a word about another one."""

    run: str | None
    note: str = ""


def fitting(home: Path, source: Source, task: Task | ReadyMade, *, again: str | None) -> Fit:
    """The run that asked the same of the same rows, or may be asked to; none with `again` "new".

    Raises `RunChanged`, with the difference, where a run that is under way asks something else and
    nothing says which one is meant.
    """
    from batchyard.pipeline.run.store.folder import runs

    if again == "new":
        return Fit(None)
    note = ""
    digest, path = source.fingerprint(), str(source.path.absolute())
    for manifest in runs(home):
        if manifest.input.sha256 != digest:
            if manifest.input.path == path and _under_way(home, manifest):
                note = note or (
                    f"{manifest.run} has asked an older {source.name} and stays as it is"
                )
            continue
        difference = _difference(manifest, task)
        if not difference or (again == "only-missing" and _under_way(home, manifest)):
            return Fit(manifest.run)
        if _under_way(home, manifest) and again is None:
            raise RunChanged(
                f"{manifest.run} is not finished and asks something else of {source.name}; "
                "nothing was sent\n" + "\n".join(difference),
                fix="--new begins another run and leaves that one as it is\n"
                "or: --only-missing asks this of the rows that have no answer yet",
            )
    return Fit(None, note)


def _difference(manifest: Manifest, task: Task | ReadyMade) -> list[str]:
    """What differs between what a run asks and `task`; a model that is not named is the run's."""
    from batchyard.pipeline.prompt import task_from

    before = task_from(manifest.task)
    if task.model is None and before.model is not None:
        task = task.changed(model=before.model)
    return before.difference(task)  # type: ignore[arg-type] # of one kind, or told to differ


def _under_way(home: Path, manifest: Manifest) -> bool:
    """Whether a run was agreed to, so that batches of it exist, and has rows left."""
    from batchyard.pipeline.run.store.store import RunStore

    with RunStore.look(home, manifest.run) as store:
        return bool(store.totals.left) and bool(store.batches())
