"""Who may know whom: the contracts of pyproject.toml, no cycles, one room per dependency."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

from tests.house.tree import ROOT, SOURCE, imported, parsed, python_files, shown

ROOMS = {
    "alembic": ["store"],
    "cffi": ["batches"],
    "click": ["cli"],
    "fastjsonschema": ["pipeline/prompt/schema/fit.py"],
    "genai_prices": ["pipeline/estimate/prices/public.py"],
    "httptools": ["engines/connection.py", "server"],
    "httpx2": ["client"],
    "jinja2": ["pipeline/prompt/words/"],
    "narwhals": ["pipeline"],
    "platformdirs": ["config.py"],
    "pyarrow": ["pipeline"],
    "pydantic": ["config.py"],
    "pydantic_settings": ["config.py"],
    "pypdf": ["engines/translate/pdf.py"],
    "sqlalchemy": ["store"],
    "starlette": ["api"],
    "structlog": ["telemetry.py"],
    "uvicorn": ["server"],
    "uvloop": ["server"],
    "xllamacpp": ["engines/llama/"],
}
"""Where each dependency may be named. One that can be replaced is named in one place."""

EVERYWHERE = {"msgspec"}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("batchyard", cache_dir=None)


def test_every_import_contract_is_kept() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache", "--no-logo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_module_is_part_of_an_import_cycle(graph: grimp.ImportGraph) -> None:
    in_cycles = [
        module
        for module in graph.modules
        if any(
            graph.chain_exists(importer=imported_module, imported=module)
            for imported_module in graph.find_modules_directly_imported_by(module)
        )
    ]
    assert in_cycles == []


def test_each_dependency_is_named_in_its_own_room_only() -> None:
    strays = []
    for path in python_files("src"):
        place = path.relative_to(SOURCE).as_posix()
        for name, line in imported(path):
            top = name.split(".")[0]
            if top in sys.stdlib_module_names or top in EVERYWHERE or top == "batchyard":
                continue
            if not place.startswith(tuple(ROOMS.get(top, []))):
                strays.append(f"{shown(path, line)} imports {top}")
    assert strays == []


def test_only_the_clock_reads_a_clock() -> None:
    readers = [
        shown(path, line)
        for path in python_files("src")
        if path.name != "clock.py"
        for name, line in imported(path)
        if name == "time"
    ]
    assert readers == []


def test_tests_do_not_sleep() -> None:
    """They hold the clock or wait for a sign. Only suites that run real processes may wait."""
    sleepers = [
        shown(path, node.lineno)
        for path in python_files("tests")
        if path.relative_to(ROOT).parts[1] not in ("crash", "live", "engines_vllm")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("time.sleep", "asyncio.sleep")
        and not (isinstance(node.args[0], ast.Constant) and node.args[0].value == 0)
    ]
    assert sleepers == []


def test_no_import_reaches_up_by_dots() -> None:
    """Absolute imports only: a file can be moved and searched for by its full name."""
    relative = [
        shown(path, node.lineno)
        for path in python_files("src", "tests")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert relative == []
