"""Places: standard output, devices, links, and every reason why nothing can be written."""

from __future__ import annotations

import builtins
import io
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from batchyard.errors import BadOutput
from batchyard.pipeline.sink import text
from tests.pipeline.sink.test_sinks import NAMES, write


def test_standard_output_gets_the_whole_when_it_is_complete(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out))
    write("-", ["x"], ["ü"])
    write("-", ["x"], ["ü"], format="csv")
    assert out.getvalue().decode() == '{"x":"ü"}\nx\nü\n'
    out.seek(0)
    write("-", ["x"], [1], format="parquet")
    out.seek(0)
    assert pq.read_table(out).to_pylist() == [{"x": 1}]


def fault(path: Path | str, columns: Sequence[str] = ("x",), **options: Any) -> BadOutput:
    with pytest.raises(BadOutput) as caught:
        write(path, columns, *[["some text"] * len(columns)] * 3, **options)
    assert "answers are kept in the run" in caught.value.message
    return caught.value


@pytest.mark.parametrize("name", NAMES)
def test_a_full_disk_is_told_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """`/dev/full` takes nothing; the part of a file is a link to it here."""
    monkeypatch.setattr(text, "CHUNK_ROWS", 1)
    monkeypatch.setattr(Path, "touch", lambda path, **_: path.symlink_to("/dev/full"))
    told = fault(tmp_path / name)
    assert "cannot be written: No space left" in told.message
    assert "MB free there" in told.message
    assert os.listdir(tmp_path) == []


def test_a_device_that_takes_nothing_is_told() -> None:
    assert "No space left" in fault("/dev/full", format="csv").message


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    assert "is a folder" in fault(tmp_path, format="csv").message
    missing = fault(tmp_path / "no" / "out.csv")
    assert "there is no folder" in missing.message
    assert missing.fix == f"mkdir -p {tmp_path / 'no'}"
    assert 'no output format "xlsx"' in fault("out.csv", format="xlsx").message
    assert "no output format for this name" in fault("out.xls").message
    assert 'the column "x" twice' in fault(tmp_path / "out.csv", ["x", "y", "x"]).message
    assert os.listdir(tmp_path) == []


def test_a_file_that_may_not_be_written_is_told_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.csv"
    path.write_text("before")
    monkeypatch.setattr(os, "access", lambda *_: False)
    told = fault(path)
    assert "is read-only" in told.message
    assert told.fix == f"chmod u+w {path}"
    assert path.read_text() == "before"


@pytest.mark.parametrize("act", ["replace", "touch"])
def test_a_folder_that_refuses_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, act, refuse)
    assert "cannot be written: Permission denied" in fault(tmp_path / "out.csv").message
    assert os.listdir(tmp_path) == []


def test_without_pyarrow_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **named: Mapping[str, object]) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *rest, **named)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(builtins, "__import__", without)
    assert fault(tmp_path / "out.parquet").fix == "pip install 'batchyard[parquet]'"
    assert os.listdir(tmp_path) == []
