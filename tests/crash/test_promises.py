"""Every promise of `docs/promises.md` names tests, and every test it names exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROWS = [
    line
    for line in (ROOT / "docs" / "promises.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| I-")
]


def test_every_promise_from_01_to_26_has_a_row() -> None:
    numbers = [int(row[4:6]) for row in ROWS]
    assert numbers == sorted(set(numbers))
    assert set(range(1, 27)) <= set(numbers)


def test_every_row_names_tests_that_exist() -> None:
    for row in ROWS:
        named = re.findall(r"`(tests/[^`]+)::(test_[a-z0-9_]+)`", row)
        assert named, f"no test: {row}"
        for file, test in named:
            assert test in _functions(ROOT / file), f"{file} has no {test}"


def _functions(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}
