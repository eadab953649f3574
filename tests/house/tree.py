"""The repository as its house tests see it: files, their lines, their syntax trees."""

from __future__ import annotations

import ast
import functools
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "batchyard"
CODE_FOLDERS = ("src", "tests", "examples", "benchmarks", "tools")
_UNTRACKED = {".git", ".venv", "node_modules", "dist", "build"}


@functools.cache
def files() -> tuple[Path, ...]:
    """Every file of the repository, as git knows it; by walking where there is no git."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        check=False,
    )
    if listed.returncode == 0:
        names = listed.stdout.decode().split("\0")
        found = {ROOT / name for name in names if name}
    else:
        found = {p for p in ROOT.rglob("*") if not _UNTRACKED & set(p.relative_to(ROOT).parts)}
    return tuple(sorted(path for path in found if path.is_file()))


def python_files(*folders: str) -> list[Path]:
    """The Python files under `folders` of the repository, all code by default."""
    wanted = folders or CODE_FOLDERS
    return [
        path
        for path in files()
        if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in wanted
    ]


@functools.cache
def parsed(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function of a file, nested ones too."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """Top-level names of what a file imports, with the line."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module, node.lineno


def shown(path: Path, line: int | None = None) -> str:
    """A place as an editor can open it."""
    place = str(path.relative_to(ROOT))
    return f"{place}:{line}" if line else place
