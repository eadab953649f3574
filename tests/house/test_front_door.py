"""The front door is light: help comes at once and loads none of the rooms behind it."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys

import pytest

from tests.house.tree import ROOT

HEAVY = {
    "alembic", "anthropic", "asyncio", "fastjsonschema", "genai_prices", "httpx2", "jinja2",
    "narwhals", "numpy", "pandas", "polars", "pyarrow", "pydantic", "pydantic_settings",
    "sqlalchemy", "starlette", "structlog", "uvicorn", "uvloop", "xllamacpp",
}  # fmt: skip
ROOMS = {
    "api", "batches", "client", "config", "dispatch", "engines", "fleets", "routing", "server",
    "store",
}  # fmt: skip
HELP_SECONDS = 0.3

_LOADED = """
import json, sys
from batchyard.cli.program import program
program.main({arguments!r}, standalone_mode=False)
print("\\n" + json.dumps(sorted(sys.modules)))
"""


def loaded(*arguments: str) -> set[str]:
    """The modules a fresh interpreter has loaded after running the program once."""
    code = _LOADED.format(arguments=list(arguments))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_loads_no_room_and_nothing_heavy(argument: str) -> None:
    modules = loaded(argument)
    assert "batchyard.cli.program" in modules
    assert modules & HEAVY == set()
    assert modules & {f"batchyard.{room}" for room in ROOMS} == set()


@pytest.mark.parametrize("verb", ["serve", "create", "watch"])
def test_the_help_of_a_verb_loads_no_room_of_the_server(verb: str) -> None:
    modules = loaded(verb, "--help")
    assert modules & (HEAVY - {"asyncio", "httpx2"}) == set()
    assert modules & {f"batchyard.{room}" for room in ROOMS - {"batches", "client"}} == set()


def test_help_costs_less_than_three_tenths_of_a_second() -> None:
    """In processor time, the best of five: the clock on the wall belongs to the whole machine."""
    costs = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-m", "batchyard", "--help"],
            check=True,
            capture_output=True,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        costs.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(costs) < HELP_SECONDS, costs


@pytest.mark.parametrize("package", ["batchyard", "batchyard.server"])
def test_importing_the_package_loads_none_of_its_rooms(package: str) -> None:
    code = f"import json, sys, {package}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = set(json.loads(done.stdout))
    assert modules & HEAVY == set()
    assert modules & {f"batchyard.{room}" for room in ROOMS - {"server"}} == set()
