"""Runs as they are listed and shown: read from their folders, never changed by that."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchyard.cli import shown, talk
from batchyard.cli.runs import finding
from batchyard.cli.runs.said import words
from batchyard.cli.shown import number
from batchyard.clock import SECOND, SystemClock

if TYPE_CHECKING:
    from batchyard.pipeline.run import RunStore, Totals
    from batchyard.pipeline.run.store import Batch
    from batchyard.pipeline.run.store.manifest import Manifest

ERROR_SHOWN = 160
_SKIPPED = {"node_modules", "__pycache__", "site-packages"}


class Found:
    """A run that was looked at: its folder, manifest, sums and batches."""

    def __init__(self, store: RunStore) -> None:
        self.path: Path = store.path
        self.manifest: Manifest = store.manifest
        self.totals: Totals = store.totals
        self.batches: list[Batch] = store.batches()
        self.kinds: dict[str, int] = store.kinds()

    @property
    def state(self) -> str:
        """`sampled`, `unfinished`, `done`, or `failed rows`."""
        totals = self.totals
        if not totals.prepared or (totals.left and not self.batches):
            return "not started"
        if totals.left:
            return "unfinished"
        return "failed rows" if totals.failed else "done"


def looked(name: str | None) -> RunStore:
    """The run that is meant, to be read only; raises `NoRun`."""
    from batchyard.pipeline.run import RunStore

    return RunStore.look(*finding.place_of(name))


def found(folder: Path, *, everywhere: bool) -> list[Found]:
    """The runs of `folder`, or of all folders below too, newest first."""
    from batchyard.pipeline.run import RunStore, runs

    homes = _homes(folder) if everywhere else [folder / finding.FOLDER]
    every = []
    for home in homes:
        for manifest in runs(home):
            with RunStore.look(home, manifest.run) as store:
                every.append(Found(store))
    return sorted(every, key=lambda one: one.manifest.created_at, reverse=True)


def _homes(folder: Path) -> Iterator[Path]:
    for place, folders, _ in os.walk(folder):
        if finding.FOLDER in folders:
            yield Path(place) / finding.FOLDER
        folders[:] = [one for one in folders if one[0] != "." and one not in _SKIPPED]


def table(runs: list[Found]) -> list[str]:
    """One line for each run under a line of headings."""
    rows = [("RUN", "STATE", "DONE", "FAILED", "CREATED", "INPUT")]
    for one in runs:
        totals = one.totals
        done = f"{number(totals.succeeded + totals.failed)}/{number(totals.rows)}"
        done += f" ({number(totals.batched)} sent)" if totals.batched else ""
        failures = number(totals.failed) if totals.failed else "-"
        name = finding.spoken(one.path, newest=False)
        rows.append((name, one.state, done, failures, f"{_age(one.manifest)} ago",
                     one.manifest.input.name))  # fmt: skip
    return shown.columns(rows)


def lines(store: RunStore) -> Iterator[str]:
    """Everything about one run, a line for each thing."""
    one, marks = Found(store), talk.marks()
    manifest, totals = one.manifest, one.totals
    where = manifest.where.server or ", ".join(manifest.where.engines)
    counts = [
        f"{number(getattr(totals, name))} {name}"
        for name in ("succeeded", "errored", "canceled", "expired")
        if getattr(totals, name)
    ]
    counts += [f"{number(totals.batched)} sent"] if totals.batched else []
    counts += [f"{number(totals.waiting)} waiting"] if totals.waiting else []
    tokens = f"{number(totals.input_tokens)} in {marks.none} {number(totals.output_tokens)} out"
    rows: list[tuple[str, str | None]] = [
        ("run", manifest.run),
        ("state", one.state),
        ("created", shown.moment(manifest.created_at, SystemClock().now())),
        ("input", f"{manifest.input.name} ({words.rows(totals.rows)})"),
        ("rows", ", ".join(counts)),
        ("tokens", tokens),
        ("model", str(manifest.task.get("model") or "") or None),
        ("where", where),
        ("output", finding.shown(manifest.output.path or "")),
        ("folder", str(one.path)),
    ]
    for name, text in rows:
        if text:
            yield f"{name:<10}{text}"
    for batch in one.batches:
        yield (
            f"{'batch':<10}{batch.batch_id or '(not created)'}  {batch.state}  "
            f"{number(batch.requests)} request{'s' * (batch.requests != 1)}"
        )
    for kind, many in one.kinds.items():
        yield f"{'failed':<10}{number(many)} {kind}"


def as_json(run: RunStore | Found) -> dict[str, Any]:
    """A run as plain values."""
    import msgspec

    one = run if isinstance(run, Found) else Found(run)
    return {
        "run": one.manifest.run,
        "folder": str(one.path),
        "state": one.state,
        "created_at": one.manifest.created_at,
        "input": one.manifest.input.name,
        "output": one.manifest.output.path,
        "totals": msgspec.to_builtins(one.totals),
        "failed": one.kinds,
        "batches": [
            {"batch_id": batch.batch_id, "state": batch.state, "requests": batch.requests}
            for batch in one.batches
        ],
    }


def failed(store: RunStore, *, as_json: bool) -> Iterator[str]:
    """Failed rows, one a line: number from 1, kind, error."""
    for outcome in store.failed():
        fields = {
            "row": outcome.position + 1,
            "error_type": outcome.error_type,
            "error": outcome.error,
            "attempts": outcome.attempts,
        }
        if as_json:
            yield talk.envelope("failed", {**fields, "raw": outcome.raw})
            continue
        error = " ".join((outcome.error or "").split())
        cut = error if len(error) <= ERROR_SHOWN else error[: ERROR_SHOWN - 3] + "..."
        yield f"row {number(outcome.position + 1)}\t{outcome.error_type}\t{cut}"


def _age(manifest: Manifest) -> str:
    began = datetime.fromisoformat(manifest.created_at).timestamp()
    return shown.duration(SystemClock().now() / SECOND - began)
