"""The papers say what the building has: every file, verb, setting, path, variable, dependency."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

from tools.map import with_map

from batchyard.cli.program import VERBS
from batchyard.config import keys
from tests.house.tree import ROOT, SOURCE, files, parsed, shown

REFERENCE = ROOT / "docs" / "reference"


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def all_papers() -> str:
    return "\n".join(text(path) for path in files() if path.suffix == ".md")


def test_the_map_is_drawn_from_the_tree() -> None:
    paper = text(ROOT / "ARCHITECTURE.md")
    assert "```\nsrc/batchyard/\n  " in paper
    assert with_map(paper) == paper, "`make map` draws it again"


def test_every_place_the_architecture_speaks_of_exists() -> None:
    named = re.findall(r"`([a-z_]+/[a-z_/]*(?:\.py)?)`", text(ROOT / "ARCHITECTURE.md"))
    places = (SOURCE, ROOT, ROOT / "tests")
    assert named != []
    assert [name for name in named if not any((at / name).exists() for at in places)] == []


def test_every_verb_is_documented() -> None:
    page = text(REFERENCE / "cli.md")
    assert [verb for verb in VERBS if f"batchyard {verb}" not in page] == []


def test_every_path_of_the_server_is_documented() -> None:
    page = text(REFERENCE / "api.md")
    module = parsed(SOURCE / "api" / "routes.py")
    literals = [node.value for node in ast.walk(module) if isinstance(node, ast.Constant)]
    paths = [one for one in literals if isinstance(one, str) and re.match(r"/[^ ]+$", one)]
    assert len(paths) >= 12
    assert [path for path in paths if path.split("{")[0] not in page] == []


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
    page = text(REFERENCE / "configuration.md")
    documented = re.findall(r"^\| `([\w.]+)` \| `BATCHYARD_", page, re.MULTILINE)
    assert sorted(documented) == sorted(key for key, _ in keys())


def test_every_dependency_has_its_line() -> None:
    project = tomllib.loads(text(ROOT / "pyproject.toml"))
    declared = [
        *project["project"]["dependencies"],
        *(one for extra in project["project"]["optional-dependencies"].values() for one in extra),
        *(one for group in project["dependency-groups"].values() for one in group),
    ]
    names = {re.split(r"[\[<>=;! ]", line)[0] for line in declared} - {"batchyard"}
    page = text(ROOT / "docs" / "decisions" / "dependencies.md")
    lines = set(re.findall(r"^- \*\*([\w.-]+)\*\*", page, re.MULTILINE))
    assert sorted(names - lines) == [], "declared, not explained"
    assert sorted(lines - names) == [], "explained, not declared"


def test_every_locked_package_is_pinned_with_its_hashes() -> None:
    for lock in sorted((ROOT / "requirements").glob("*.lock")):
        entries = re.split(r"\n(?=\S)", text(lock).strip())
        loose = [
            entry.splitlines()[0]
            for entry in entries
            if not re.match(r"[\w.-]+(\[[\w,-]+\])?==\S+", entry) or "--hash=sha256:" not in entry
        ]
        assert loose == [], f"{shown(lock)} holds what nobody pinned"
        assert len(entries) > 20


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
