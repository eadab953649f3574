"""Every input that was once of interest to the fuzzer, replayed: what is mended stays so."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.fuzz.__main__ import NAMES
from tests.fuzz.targets import CORPUS, TARGETS, seeds


@pytest.mark.parametrize("name", TARGETS)
def test_every_input_of_the_corpus_keeps_the_laws(name: str) -> None:
    found = seeds(name)
    assert found
    for path in found:
        try:
            TARGETS[name](path.read_bytes())
        except Exception as error:
            error.add_note(f"replayed: {path}")
            raise


def test_the_fuzzer_knows_every_target_and_every_target_has_a_corpus() -> None:
    assert set(NAMES) == set(TARGETS) == {path.name for path in CORPUS.iterdir()}


WITHOUT = """
import runpy, sys
sys.modules["atheris"] = None
sys.argv = ["tests.fuzz", "body", "--inside"]
runpy.run_module("tests.fuzz", run_name="__main__")
"""


def test_without_atheris_the_fuzzer_says_where_to_get_it() -> None:
    command = [sys.executable, "-c", WITHOUT]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0
    assert "python -m tests.fuzz.install" in done.stderr
