"""Draws the map of the package for ARCHITECTURE.md: floors from the top, in each file's words."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "batchyard"
PAPER = ROOT / "ARCHITECTURE.md"
WIDTH = 118
_BLOCK = re.compile(r"```\nsrc/batchyard/\n.*?```", re.DOTALL)


def main() -> None:
    """Print the map, or with `--write` put it into ARCHITECTURE.md."""
    if "--write" in sys.argv:
        PAPER.write_text(with_map(PAPER.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        sys.stdout.write(drawn())


def with_map(paper: str) -> str:
    """`paper` with today's map in the place of the old one."""
    return _BLOCK.sub(lambda _: f"```\n{drawn()}```", paper, count=1)


def drawn() -> str:
    """The map: a line for every file and folder of the package."""
    lines = ["src/batchyard/"]
    for name in _floors():
        lines += _lines(PACKAGE / name, 1)
    return "\n".join(lines) + "\n"


def _floors() -> list[str]:
    """What lies directly in the package, in the order of the import contract, top floor first."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = next(c for c in project["tool"]["importlinter"]["contracts"] if c["id"] == "floors")
    names = [name for floor in contract["layers"] for name in re.findall(r"\w+", floor)]
    found = []
    for name in ["__main__", *names]:
        found += [path for path in (name, f"{name}.py") if (PACKAGE / path).exists()]
    return found


def _lines(path: Path, depth: int) -> list[str]:
    if path.is_file():
        return [_line(path.name, path, depth)]
    lines = [_line(f"{path.name}/", path / "__init__.py", depth)]
    for child in sorted(path.iterdir(), key=lambda p: (p.is_dir(), p.name)):
        if child.suffix == ".py" and child.name == "__init__.py":
            continue
        if child.suffix == ".py" or (child / "__init__.py").is_file():
            lines += _lines(child, depth + 1)
    return lines


def _line(name: str, source: Path, depth: int) -> str:
    indented = "  " * depth + name
    return f"{indented:<26}  {_sentence(source, WIDTH - 28)}".rstrip()


def _sentence(source: Path, width: int) -> str:
    """The opening sentence of a file, cut at a pause where it is too long."""
    if not source.exists():
        return ""
    text = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or ""
    sentence = " ".join(text.split("\n\n")[0].split()).rstrip(".")
    if len(sentence) <= width:
        return sentence
    pauses = [found.start() for found in re.finditer(r"[,:;.] | \(", sentence[: width + 1])]
    if pauses and pauses[-1] > width // 2:
        return sentence[: pauses[-1]]
    return sentence[: width - 2].rsplit(" ", 1)[0] + " …"


if __name__ == "__main__":
    main()
