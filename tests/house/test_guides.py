"""What the guides show can be typed: their Python holds together, their words are the reference's.

Only the TypeScript guide is run by the suite (`tests/live/sdk/test_guide.py`). LangChain and
Airflow are too heavy for it, so nothing here proves that these programs work: that was tried by
hand, with the versions that the guides name.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.tree import ROOT

GUIDES = sorted((ROOT / "docs" / "guides").glob("*.md"))
REFERENCE = "\n".join(
    path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs" / "reference").glob("*.md"))
)
OTHERS = {"AIRFLOW_CONN_ANTHROPIC_DEFAULT", "ANTHROPIC_API_URL"}
"""Variables that Airflow and LangChain read; ours are in the reference."""

every_guide = pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)


def programs(guide: Path) -> list[str]:
    """The Python of a guide, block by block."""
    text = guide.read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def test_there_are_guides_with_python_in_them() -> None:
    assert sum(len(programs(guide)) for guide in GUIDES) >= 4


@every_guide
def test_the_python_of_a_guide_compiles_and_every_name_in_it_is_known(guide: Path) -> None:
    for number, program in enumerate(programs(guide), 1):
        compile(program, f"{guide.name}, program {number}", "exec")
        command = ["ruff", "check", "--isolated", "--quiet", "--select", "F", "-"]
        done = subprocess.run(
            [sys.executable, "-m", *command],
            input=program,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{guide.name}, program {number}\n{done.stdout}{done.stderr}"


@every_guide
def test_a_guide_uses_only_what_the_reference_has(guide: Path) -> None:
    text = guide.read_text(encoding="utf-8")
    variables = set(re.findall(r"\b(?:ANTHROPIC|BATCHYARD|AIRFLOW)_[A-Z_]+", text)) - OTHERS
    headers = set(re.findall(r"\b(?:Idempotency-Key|x-stainless-[a-z-]+)", text))
    codes = set(re.findall(r"`([a-z_]+_reused)`", text))
    verbs = {f"## `batchyard {verb}" for verb in re.findall(r"\bbatchyard ([a-z]+)", text)}
    words = variables | headers | codes | verbs
    assert verbs
    assert sorted(word for word in words if word not in REFERENCE) == []
