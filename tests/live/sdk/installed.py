"""Several versions of the official SDKs side by side, fetched on demand into `.cache/sdks`."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.live.harness.serving import clean_environment

ROOT = Path(__file__).resolve().parents[3]
CACHE = ROOT / ".cache" / "sdks"
PYTHON = ("2.10.0", "1.17.0", "0.75.0")
TYPESCRIPT = ("1.10.0", "0.71.0")
_HERE = Path(__file__).parent


def python_facts(version: str, *arguments: str, seconds: float = 240) -> dict[str, Any]:
    """What `driver.py` printed when run with that version of the Python SDK."""
    folder = _installed(
        f"python-{version}",
        [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"],
        ["--target", "{folder}", f"anthropic=={version}"],
    )
    command = [sys.executable, "-W", "ignore", str(_HERE / "driver.py"), *arguments]
    return _facts(command, {"PYTHONPATH": str(folder)}, seconds)


def typescript_facts(version: str, *arguments: str, seconds: float = 240) -> dict[str, Any]:
    """What `driver.mjs` printed when run with that version of the TypeScript SDK."""
    node, folder = typescript_sdk(version)
    command = [node, str(_HERE / "driver.mjs"), *arguments]
    return _facts(command, {"SDK_FOLDER": str(folder)}, seconds)


def typescript_sdk(version: str) -> tuple[str, Path]:
    """`node`, and the folder whose `node_modules` hold that version of the TypeScript SDK."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("the TypeScript SDK needs Node.js: install `node` and `npm` to run this test")
    folder = _installed(
        f"ts-{version}",
        [npm, "install", "--silent", "--no-audit", "--no-fund", "--no-save"],
        ["--prefix", "{folder}", f"@anthropic-ai/sdk@{version}"],
    )
    return node, folder


def _installed(name: str, command: Sequence[str], rest: Sequence[str]) -> Path:
    """The folder `name` of the cache, filled once even when several test processes want it."""
    CACHE.mkdir(parents=True, exist_ok=True)
    folder, arriving = CACHE / name, CACHE / f"{name}.arriving"
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            shutil.rmtree(arriving, ignore_errors=True)
            arriving.mkdir()
            words = [*command, *(word.format(folder=arriving) for word in rest)]
            done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
            assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}{done.stderr}"
            arriving.rename(folder)
    return folder


def _facts(command: Sequence[str], env: dict[str, str], seconds: float) -> dict[str, Any]:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        env=clean_environment(env),
    )
    assert done.returncode == 0, (
        f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-6000:]}"
    )
    facts: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return facts
