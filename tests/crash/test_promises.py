"""Every promise of `docs/promises.md` names tests, and bugs by which these were seen to fail."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.planted.bugs import all_bugs

ROOT = Path(__file__).parents[2]
ROWS = [
    line
    for line in (ROOT / "docs" / "promises.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| I-")
]
UNPLANTED_MAX = 4
"""Promises without a bug of their own: of speed, of other people's parsers, of the lock file."""


def test_every_promise_from_01_to_50_has_a_row() -> None:
    numbers = [int(row[4:6]) for row in ROWS]
    assert numbers == sorted(set(numbers))
    assert set(range(1, 51)) <= set(numbers)


def test_every_row_names_tests_that_exist() -> None:
    for row in ROWS:
        named = named_tests(row)
        assert named, f"no test: {row}"
        for file, test in named:
            assert test in _functions(ROOT / file), f"{file} has no {test}"


def test_every_bug_of_a_row_is_caught_by_a_test_of_the_row() -> None:
    bugs = all_bugs()
    for row in ROWS:
        named = {f"{file}::{test}" for file, test in named_tests(row)}
        for bug in bugs_of(row):
            assert bug in bugs, f"no such bug: {bug}"
            assert named & set(bugs[bug].caught_by), f"{row[2:6]} is not what catches {bug}"


def test_hardly_a_promise_is_without_a_bug_and_no_bug_without_a_promise() -> None:
    assert sum(not bugs_of(row) for row in ROWS) <= UNPLANTED_MAX
    assert set(all_bugs()) == {bug for row in ROWS for bug in bugs_of(row)}


def named_tests(row: str) -> list[tuple[str, str]]:
    return re.findall(r"`(tests/[^`]+)::(test_[a-z0-9_]+)`", row)


def bugs_of(row: str) -> list[str]:
    """The names in the last column, or none where it holds a dash."""
    column = row.strip().strip("|").split("|")[-1].strip()
    bugs = re.findall(r"`([a-z_]+)`", column)
    assert bugs or column == "-", f"neither bug nor dash: {row}"
    return bugs


def _functions(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}
