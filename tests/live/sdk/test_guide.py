"""The TypeScript guide keeps its word: its programs run as they stand and print what it shows."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.live.conftest import Serve
from tests.live.harness.serving import Server, clean_environment
from tests.live.sdk.installed import ROOT, TYPESCRIPT, typescript_sdk

GUIDE = (ROOT / "docs" / "guides" / "typescript.md").read_text(encoding="utf-8")
# A program, and after it the console in which its name and its output stand.
SHOWN = {
    name: (code, output)
    for code, name, output in re.findall(
        r"^```ts\n(.*?)^```\n+```console\n\$ node (\S+)\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE
    )
}
Node = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def simulator(serve_module: Serve) -> Server:
    """The server as the guide starts it."""
    return serve_module("--engine", "simulator")


@pytest.fixture(params=TYPESCRIPT)
def node(request: pytest.FixtureRequest, simulator: Server, tmp_path: Path) -> Node:
    """`node(name, code)` runs a program of the guide beside one version of the SDK."""
    program, folder = typescript_sdk(request.param)
    (tmp_path / "node_modules").symlink_to(folder / "node_modules")
    credentials = {"ANTHROPIC_BASE_URL": simulator.url, "ANTHROPIC_API_KEY": "local"}

    def run(name: str, code: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / name).write_text(code, encoding="utf-8")
        return subprocess.run(
            [program, name],
            cwd=tmp_path,
            env=clean_environment(credentials),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def test_every_program_of_the_guide_is_shown_with_its_output() -> None:
    assert list(SHOWN) == ["batch.mjs", "live.mjs"]
    assert GUIDE.count("```ts\n") == len(SHOWN)


@pytest.mark.parametrize("name", SHOWN)
def test_a_program_of_the_guide_prints_what_the_guide_shows(node: Node, name: str) -> None:
    code, output = SHOWN[name]
    done = node(name, code)
    assert done.returncode == 0, done.stderr
    assert _without_ids(done.stdout) == _without_ids(output)


def test_running_the_batch_again_finds_it_and_another_text_is_refused(node: Node) -> None:
    code, _ = SHOWN["batch.mjs"]
    first, second = node("batch.mjs", code), node("batch.mjs", code)
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("msgbatch_")
    assert second.stdout == first.stdout
    changed = code.replace("Battery died", "Battery lives")
    assert changed != code
    refused = node("batch.mjs", changed)
    assert refused.returncode != 0
    assert "idempotency_key_reused" in refused.stderr


def _without_ids(text: str) -> str:
    return re.sub(r"msgbatch_\w+", "msgbatch_…", text)
