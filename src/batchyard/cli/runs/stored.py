"""A run's store as the options want it: made new, or opened again with what may be different."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from batchyard.cli.runs import finding
from batchyard.cli.runs.options.asked import Asked, Continued, Pace, Where
from batchyard.cli.runs.output import STDOUT, refuse_existing
from batchyard.cli.runs.prepared import Prepared
from batchyard.clock import SystemClock
from batchyard.errors import RunChanged

if TYPE_CHECKING:
    from batchyard.pipeline.run import Caps, Output, RunStore
    from batchyard.pipeline.run import Where as StoredWhere
    from batchyard.pipeline.source import Source

STDOUT_FORMATS = ("csv", "tsv", "jsonl", "json")


def created(home: Path, asked: Asked, found: Prepared) -> RunStore:
    """A new run, locked; nothing was sent of it."""
    from batchyard.pipeline.run import Input, Options, RunStore

    source, pace = found.source, asked.pace
    size = {} if pace.batch_size is None else {"batch_size": pace.batch_size}
    return RunStore.create(
        home,
        Input(
            name=source.name,
            path=str(source.path.absolute()),
            format=source.format,
            sha256=source.fingerprint(),
            bytes=source.path.stat().st_size,
            options={"encoding": asked.input.encoding},
        ),
        found.task.as_manifest(),
        SystemClock().now(),
        output=_output(asked, found),
        where=_where(asked.where),
        options=Options(in_process_max=pace.in_process, repair=pace.repair, **size),
        caps=_caps(pace),
    )


def reopened(home: Path, run: str, asked: Asked, found: Prepared) -> RunStore:
    """The run that fits what is asked, locked, its output, place and caps those of now."""
    from batchyard.pipeline.run import RunStore

    store = RunStore.open(home, run)
    store.rewrite(output=_output(asked, found), where=_where(asked.where), caps=_caps(asked.pace))
    return store


def continued(asked: Continued) -> RunStore:
    """The run that is meant, locked; what the options do not say stays as it was."""
    import msgspec

    from batchyard.pipeline.run import RunStore

    store = RunStore.open(*finding.place_of(asked.run))
    try:
        manifest = store.manifest
        output = manifest.output
        if asked.output is not None:
            output = msgspec.structs.replace(output, path=asked.output, force=asked.force)
        elif asked.force:
            output = msgspec.structs.replace(output, force=True)
        assert output.path is not None
        refuse_existing(output.path, force=output.force)
        said = {
            name: value
            for name in ("max_cost", "max_tokens_total", "max_hours")
            if (value := getattr(asked, name)) is not None
        }
        caps = msgspec.structs.replace(manifest.caps, **said)
        where = manifest.where if asked.where is None else _where(asked.where)
        store.rewrite(output=output, caps=caps, where=where)
    except BaseException:
        store.close()
        raise
    return store


def source_of(store: RunStore) -> Source:
    """The rows of a run; raises `BadInput`, and `RunChanged` where they are other ones now."""
    from batchyard.pipeline.source import open_source

    given, inside = store.manifest.input, store.path / "input"
    path = Path(given.path)
    if not path.exists() and inside.exists():
        path = inside  # the folder was moved, and took its input along
    source = open_source(
        path,
        format=given.format,
        encoding=given.options.get("encoding", "utf-8"),
        name=given.name,
    )
    if source.fingerprint() != given.sha256:
        raise RunChanged(
            f"{given.name} is not what {store.run} began with: {path} has changed since; nothing "
            "was sent, and the answers are kept",
            fix="put the file back as it was\nor: batchyard run … --new",
        )
    return source


def place_of(store: RunStore) -> Where:
    """Where the rows of a run go."""
    where = store.manifest.where
    return Where(server=where.server, engines=tuple(where.engines))


def _output(asked: Asked, found: Prepared) -> Output:
    from batchyard.pipeline.run import Output

    target, kind = asked.target, None
    if found.output == STDOUT and found.source.format in STDOUT_FORMATS:
        kind = found.source.format
    path = found.output if found.output == STDOUT else str(Path(found.output).absolute())
    return Output(
        path=path, format=kind, prefix=target.meta_prefix, raw=target.raw, force=target.force
    )


def _where(where: Where) -> StoredWhere:
    from batchyard.pipeline.run import Where as StoredWhere

    return StoredWhere(server=where.server, engines=list(where.engines))


def _caps(pace: Pace) -> Caps:
    from batchyard.pipeline.run import Caps

    cost = None if pace.max_cost is None else str(pace.max_cost)
    return Caps(cost, pace.max_tokens_total, pace.max_hours)
