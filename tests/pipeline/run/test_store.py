"""The store: readable by anyone, one writer, sums that are always those of the rows."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import msgspec
import pytest

from batchyard.errors import NoRun
from batchyard.pipeline.run import Input, Manifest, RunStore, Where, named, newest, runs
from batchyard.pipeline.run.store import manifest
from batchyard.pipeline.run.store.folder import LETTERS
from batchyard.pipeline.run.store.store import planned
from tests.pipeline.run.conftest import Bench
from tests.pipeline.run.doubles import echo, failed, said

INPUT = Input("rows", "rows.csv", "csv", "sha256:x")


def made(home: Path, moment: int) -> str:
    with RunStore.create(home, INPUT, {}, moment) as store:
        return store.run


def test_a_run_has_a_short_id_without_look_alikes(tmp_path: Path) -> None:
    ids = {made(tmp_path, 0) for _ in range(20)}
    assert len(ids) == 20
    assert all(4 <= len(one.removeprefix("run_")) <= 6 for one in ids)
    assert set("".join(one.removeprefix("run_") for one in ids)) <= set(LETTERS)
    assert not set("01OIL") & set(LETTERS)


def test_a_run_is_kept_from_other_users_and_from_git(tmp_path: Path) -> None:
    home = tmp_path / ".batchyard"
    run = home / made(home, 0)
    assert [path.stat().st_mode & 0o777 for path in (home, run)] == [0o700, 0o700]
    assert (run / ".gitignore").read_text() == "*\n"


def test_runs_are_listed_newest_first_and_broken_ones_are_left_out(tmp_path: Path) -> None:
    ids = [made(tmp_path, moment) for moment in (0, 2_000_000, 1_000_000)]
    (tmp_path / "run_2222").mkdir()
    (tmp_path / "run_3333").mkdir()
    (tmp_path / "run_3333" / manifest.NAME).write_text("{")
    assert [one.run for one in runs(tmp_path)] == [ids[1], ids[2], ids[0]]
    assert newest(tmp_path) == named(tmp_path, None) == ids[1]
    assert named(tmp_path, ids[0].lower()) == ids[0]
    assert runs(tmp_path / "nowhere") == []


@pytest.mark.parametrize("name", ["run_ZZZZ", "", "../x", "run_../x", "."])
def test_a_run_that_is_not_there_is_told_with_those_that_are(tmp_path: Path, name: str) -> None:
    run = made(tmp_path, 0)
    with pytest.raises(NoRun, match=f"the newest there: {run}"):
        RunStore.open(tmp_path, name)


def test_where_no_run_is_the_way_to_one_is_said(tmp_path: Path) -> None:
    with pytest.raises(NoRun) as told:
        RunStore.open(tmp_path)
    assert told.value.fix == "start one with `batchyard run FILE`"


def test_the_manifest_is_replaced_as_a_whole_and_survives_what_it_does_not_know(
    tmp_path: Path,
) -> None:
    with RunStore.create(tmp_path, INPUT, {"prompt": "é"}, 0) as store:
        store.rewrite(where=Where(server="http://x"))
        path = store.path / manifest.NAME
    told = json.loads(path.read_text())
    assert told["where"]["server"] == "http://x"
    assert (told["task"], told["created_at"]) == (
        {"prompt": "é"}, "1970-01-01T00:00:00.000000+00:00"
    )  # fmt: skip
    path.write_text(json.dumps(told | {"of a later version": 1}))
    with RunStore.look(tmp_path) as store:
        assert isinstance(store.manifest, Manifest)
        assert store.manifest.where == Where(server="http://x")
    assert list(path.parent.glob("*.new")) == []


async def test_anyone_can_read_the_rows_with_sqlite_alone(bench: Bench) -> None:
    bench.server.answer = lambda name, params: (
        failed("api_error", "?") if params["text"] == "row 3" else echo(name, params)
    )
    await bench.finish()
    with sqlite3.connect(bench.store.path / "rows.db") as reader:
        found = reader.execute(
            "SELECT status, json_extract(answer, '$.output'), error FROM rows "
            "WHERE position IN (2, 3) ORDER BY position"
        ).fetchall()
        text = reader.execute("SELECT sql FROM sqlite_master WHERE name = 'batches'").fetchone()[0]
    reader.close()
    assert found == [("succeeded", "ROW 2", None), ("errored", None, "?")]
    assert "state" in text


async def test_the_sums_are_those_of_the_rows_after_everything(bench: Bench) -> None:
    bench.server.answer = lambda name, params: {
        "row 1": said("bad"), "row 2": failed("api_error", "?"), "row 3": {"type": "expired"},
        "row 4": {"type": "canceled"},
    }.get(params["text"]) or echo(name, params)  # fmt: skip
    bench.server.mend = lambda lines: lines[1:] + lines[:1] + lines[-1:]
    await bench.finish()
    bench.runner().retry(["expired"])
    totals = bench.store.totals
    with sqlite3.connect(bench.store.path / "rows.db") as reader:
        counted = dict(reader.execute("SELECT status, count(*) FROM rows GROUP BY 1").fetchall())
        tokens = reader.execute("SELECT sum(input_tokens), sum(output_tokens) FROM rows").fetchone()
    reader.close()
    names = ("waiting", "batched", "succeeded", "errored", "canceled", "expired")
    assert {name: getattr(totals, name) for name in names if getattr(totals, name)} == counted
    assert (totals.input_tokens, totals.output_tokens) == tokens
    assert (totals.rows, totals.left) == (10, 1)


def test_a_batch_that_leaves_again_keeps_the_moment_it_first_left(tmp_path: Path) -> None:
    with RunStore.create(tmp_path, INPUT, {}, 0) as store:
        store.enter(0, [b"k" * 16])
        store.plan(planned(1, store.run, "x", 0, requests=1, body_bytes=9, first=0, last=0, task=0))
        store.sending(1, 5)
        store.sending(1, 9)
        assert store.unfinished()[0].sent_at == 5
        store.refused(1)
        store.sending(1, 9)
        assert store.unfinished()[0].sent_at == 9


def test_a_run_with_batches_cannot_be_discarded(tmp_path: Path) -> None:
    with RunStore.create(tmp_path, INPUT, {}, 0) as store:
        path = store.path
        store.discard()
    assert not path.exists()


def test_the_input_of_a_manifest_says_how_many_rows_there_are(tmp_path: Path) -> None:
    with RunStore.create(tmp_path, INPUT, {}, 0) as store:
        assert store.manifest.input.rows is None
        store.enter(0, [b"k" * 16, b"l" * 16])
        store.prepared()
        assert store.manifest.input == msgspec.structs.replace(INPUT, rows=2)
