"""What can never be is refused before anything starts, in one sentence with a way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.server.refusal import refused


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--engine", "vllm"), "neither a URL nor an engine"),
        (("--engine", "simulator:latncy=3ms"), "latency=3ms"),
        (("--engine", "http://user:hunter2@127.0.0.1:9"), "key_env=NAME_OF_A_VARIABLE"),
        (("--engine", "simulator", "--host", "0.0.0.0"), "without API keys: anyone on the network"),
        (("--engine", "simulator", "--host", "198.51.100.7"), "no address of this machine"),
        (("--engine", "anthropic"), "ANTHROPIC_API_KEY holds no key"),
        (("--config", "/nowhere.toml"), "no config file /nowhere.toml"),
    ],
)
def test_what_can_never_be_is_refused_before_anything_starts(
    tmp_path: Path, flags: tuple[str, ...], words: str
) -> None:
    insecure = ("--insecure-no-auth",) if "198.51.100.7" in flags else ()
    said = refused("--port", "0", "--data-dir", str(tmp_path / "data"), *flags, *insecure)
    assert said.startswith("error: ")
    assert words in said
    assert "hunter2" not in said


def test_a_data_directory_that_cannot_be_one_is_refused_at_once_with_a_way_out(
    tmp_path: Path,
) -> None:
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "batchyard.db").write_bytes(b"a database of something else" * 40)
    (tmp_path / "file").write_text("")
    for folder, words in (("strange", "is no catalog of Batchyard"), ("file/below", "cannot use")):
        said = refused("--port", "0", "--data-dir", str(tmp_path / folder), "--engine", "simulator")
        assert words in said
        assert "process died" not in said
        assert "--data-dir" in said
