"""The papers say what the building has: every file, verb, setting, path, variable, dependency."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from batchyard.cli.program import VERBS
from batchyard.config import keys
from tests.house.tree import ROOT, SOURCE, files, python_files, shown

REFERENCE = ROOT / "docs" / "reference"


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def all_papers() -> str:
    return "\n".join(text(path) for path in files() if path.suffix == ".md")


def test_the_map_names_every_file_of_the_package_and_no_other() -> None:
    """ARCHITECTURE.md draws the tree as `folder/` lines with the files of it below or beside."""
    drawn = set(_drawn(text(ROOT / "ARCHITECTURE.md")))
    real = {
        path.relative_to(SOURCE).as_posix()
        for path in python_files("src")
        if path.name != "__init__.py" or path.parent == SOURCE
    } - {"__init__.py"}
    assert sorted(real - drawn) == [], "in the tree, not on the map"
    assert sorted(drawn - real) == [], "on the map, not in the tree"


def test_every_verb_is_documented() -> None:
    page = text(REFERENCE / "cli.md")
    assert [verb for verb in VERBS if f"batchyard {verb}" not in page] == []


def test_every_setting_is_documented_with_its_variable_and_its_default() -> None:
    page = text(REFERENCE / "configuration.md")
    missing = []
    for key, field in keys():
        variable = "BATCHYARD_" + key.upper().replace(".", "__")
        row = next((line for line in page.splitlines() if line.startswith(f"| `{key}` ")), "")
        if variable not in row or field.description not in row:
            missing.append(key)
    assert missing == []


def test_no_setting_is_documented_that_does_not_exist() -> None:
    documented = re.findall(r"^\| `([\w.]+)` ", text(REFERENCE / "configuration.md"), re.MULTILINE)
    assert sorted(documented) == sorted(key for key, _ in keys())


def test_every_dependency_has_its_line() -> None:
    project = tomllib.loads(text(ROOT / "pyproject.toml"))
    declared = [
        *project["project"]["dependencies"],
        *(one for extra in project["project"]["optional-dependencies"].values() for one in extra),
        *(one for group in project["dependency-groups"].values() for one in group),
    ]
    names = {re.split(r"[\[<>=;! ]", line)[0] for line in declared}
    page = text(ROOT / "docs" / "decisions" / "dependencies.md")
    lines = set(re.findall(r"^- \*\*([\w.-]+)\*\*", page, re.MULTILINE))
    assert sorted(names - lines) == [], "declared, not explained"
    assert sorted(lines - names) == [], "explained, not declared"


def test_every_link_between_papers_leads_somewhere() -> None:
    broken = [
        f"{shown(path)}: {target}"
        for path in files()
        if path.suffix == ".md"
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text(path))
        if "://" not in target and not (path.parent / target).exists()
    ]
    assert broken == []


def test_every_decision_is_listed() -> None:
    listed = text(ROOT / "docs" / "decisions" / "README.md")
    decisions = (ROOT / "docs" / "decisions").glob("*.md")
    assert [path.name for path in decisions if f"({path.name})" not in listed] == ["README.md"]


def test_every_verb_of_the_makefile_that_the_papers_mention_exists() -> None:
    verbs = set(re.findall(r"^([a-z-]+):", text(ROOT / "Makefile"), re.MULTILINE))
    mentioned = set(re.findall(r"`make ([a-z-]+)", all_papers()))
    assert sorted(mentioned - verbs) == []


def _drawn(page: str) -> list[str]:
    """The paths of the map: indented lines, a folder ends in `/`, files stand on their own line."""
    block = page.split("```\nsrc/batchyard/\n")[1].split("```", maxsplit=1)[0]
    paths: list[str] = []
    folders: list[tuple[int, str]] = []
    for line in block.splitlines():
        if not line.strip():
            continue
        indent = len(line) - len(line.lstrip())
        names = re.split(r"\s{2,}", line.strip())[0]
        folders = [(depth, name) for depth, name in folders if depth < indent]
        prefix = "".join(name for _, name in folders)
        if names.endswith("/"):
            folders.append((indent, names))
            continue
        paths += [prefix + name for name in names.split()]
    return paths
