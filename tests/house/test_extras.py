"""The core is small and stands alone; what it lacks is told with the command that installs it."""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
from typing import Any

import pytest
from packaging.requirements import Requirement

from batchyard.cli.extras import EXTRAS
from tests.house.tree import ROOT, SOURCE

ROOMS = ("cli", "client", "pipeline")
CORE_BYTES_MAX = 25_000_000
BLOCK_BYTES = 4096
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OPTIONAL: dict[str, list[str]] = PROJECT["optional-dependencies"]

_WITHOUT = """
import json, pkgutil, sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    "Finds what the path has, except what only an extra installs."
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        missing = name.partition(".")[0] in {missing!r}
        return None if missing else super().find_spec(name, path, target)

sys.meta_path = [Without if finder is PathFinder else finder for finder in sys.meta_path]
"""

_IMPORT_ALL = """
import importlib
for room in {rooms!r}:
    package = importlib.import_module(f"batchyard.{room}")
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
print(len([name for name in sys.modules if name.startswith("batchyard.")]))
"""

_RUN = """
from batchyard.cli.program import program
program.main({arguments!r})
"""


def without_extras(code: str) -> subprocess.CompletedProcess[str]:
    """`code` in an interpreter of its own that has the core's packages only."""
    missing = sorted(module for modules in EXTRAS.values() for module in modules)
    return subprocess.run(
        [sys.executable, "-c", _WITHOUT.replace("{missing!r}", repr(missing)) + code],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def ran(*arguments: str) -> subprocess.CompletedProcess[str]:
    return without_extras(_RUN.format(arguments=list(arguments)))


def named(requirements: list[str]) -> set[str]:
    return {Requirement(one).name for one in requirements}


def test_each_extra_is_told_with_the_modules_it_brings() -> None:
    declared = {
        extra: {name.replace("-", "_") for name in named(requirements)}
        for extra, requirements in OPTIONAL.items()
        if extra != "all"
    }
    assert declared == EXTRAS


def test_all_is_all_there_is() -> None:
    (all_,) = map(Requirement, OPTIONAL["all"])
    assert all_.name == PROJECT["name"]
    assert all_.extras == OPTIONAL.keys() - {"all"}


def test_the_users_side_needs_the_core_only() -> None:
    done = without_extras(_IMPORT_ALL.replace("{rooms!r}", repr(ROOMS)))
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= sum(1 for room in ROOMS for _ in (SOURCE / room).rglob("*.py"))


@pytest.mark.parametrize("verb", [["serve"], ["keys", "list"], ["doctor", "--data-dir", "."]])
def test_a_verb_that_needs_an_extra_says_how_to_install_it(verb: list[str]) -> None:
    done = ran(*verb)
    assert done.returncode == 2, done.stderr
    assert "this needs the extra `server`, which is not installed here" in done.stderr
    assert "  fix: pip install 'batchyard[server]'\n" in done.stderr
    assert "Traceback" not in done.stderr


def test_programs_are_told_too() -> None:
    done = ran("serve", "--json")
    event: dict[str, Any] = json.loads(done.stdout)
    assert (done.returncode, event["event"], event["code"]) == (2, "error", "configuration")
    assert event["fix"] == "pip install 'batchyard[server]'"


def test_verbs_that_talk_to_a_server_work_with_the_core_alone() -> None:
    """Nobody listens on the port of discarding, so each gets as far as the network."""
    nobody = ("--server", "http://127.0.0.1:9")
    for verb in (["list"], ["retrieve", "msgbatch_1"], ["doctor"]):
        done = ran(*verb, *nobody)
        assert done.returncode == 5, done.stderr
        assert "extra" not in done.stderr


def test_the_core_is_less_than_25_megabytes() -> None:
    """As `du` counts: whole blocks, compiled modules included."""
    core: dict[str, int] = {PROJECT["name"]: 2 * _bytes(SOURCE.rglob("*.py"))}
    waiting = sorted(named(PROJECT["dependencies"]))
    while waiting:
        name = waiting.pop()
        if name in core:
            continue
        found = importlib.metadata.distribution(name)
        core[name] = _bytes(found.locate_file(file) for file in found.files or [])
        wanted = [Requirement(one) for one in found.requires or []]
        waiting += [
            _normal(one.name)
            for one in wanted
            if one.marker is None or one.marker.evaluate({"extra": ""})
        ]
    assert sum(core.values()) < CORE_BYTES_MAX, core


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _bytes(paths: Any) -> int:
    sizes = (path.stat().st_size for path in paths if path.is_file())
    return sum(-(-size // BLOCK_BYTES) * BLOCK_BYTES for size in sizes)
