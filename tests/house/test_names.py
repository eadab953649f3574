"""Words: one per thing, no junk drawers, nothing swallowed, nothing that ties us to one machine."""

from __future__ import annotations

import ast
import re

from tests.house.tree import ROOT, files, parsed, python_files, shown

JUNK_DRAWERS = {"utils", "util", "core", "helpers", "helper", "common", "shared", "misc", "manager",
                "managers", "models", "base", "types"}  # fmt: skip
BROAD_EXCEPTS_MAX = 9
_BROAD = {"Exception", "BaseException"}
_TEXT = {".py", ".md", ".toml", ".lock", ".txt", ".csv", ".json", ".yaml", ".yml", ".cfg", ".mjs"}

FORBIDDEN = re.compile(
    r"files\.pythonhosted\.org|pypi\.org/simple|registry\.npmjs\.org"
    r"|(?<![\w.~-])/wor[k]/|/roo[t]/|/hom[e]/\w+/|\bFIXM[E]\b"
)
"""Hosts of package registries, paths of one machine, notes to self."""


def test_no_file_or_folder_is_a_junk_drawer() -> None:
    drawers = [
        shown(path)
        for path in python_files("src", "tests")
        if JUNK_DRAWERS & {part.removesuffix(".py") for part in path.relative_to(ROOT).parts[1:]}
    ]
    assert drawers == []


def test_excepts_that_swallow_everything_are_few() -> None:
    """They belong at a task's edge only. One that cleans up and raises again swallows nothing."""
    found = [
        shown(path, node.lineno)
        for path in python_files("src")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ExceptHandler) and _is_broad(node.type)
        if not any(isinstance(last, ast.Raise) for last in node.body[-1:])
    ]
    assert len(found) <= BROAD_EXCEPTS_MAX, found


def test_every_suppressed_lint_names_its_rule_and_its_reason() -> None:
    bare = [
        shown(path, number)
        for path in python_files("src")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(r"#\s*(noqa|type:\s*ignore)", line)
        and not re.search(r"#\s*(noqa: [A-Z]+\d+(, [A-Z]+\d+)*|type: ignore\[[\w, -]+\]) +\S", line)
    ]
    assert bare == []


def test_no_file_names_a_registry_or_a_path_of_one_machine() -> None:
    found = []
    for path in files():
        if path.suffix not in _TEXT and path.name not in ("Makefile", "run"):
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if FORBIDDEN.search(line):
                found.append(shown(path, number))
    assert found == []


def _is_broad(node: ast.expr | None) -> bool:
    if isinstance(node, ast.Tuple):
        return any(_is_broad(element) for element in node.elts)
    return node is None or (isinstance(node, ast.Name) and node.id in _BROAD)
