"""Whatever the OpenAPI document allows, and much that it forbids: answered as it says, never a 5xx.

`SCHEMATHESIS_SECONDS=600` goes on for that long instead of a few examples for each operation.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.live.conftest import Serve
from tests.live.harness import schemathesis_hooks
from tests.live.harness.serving import clean_environment
from tests.live.sdk.installed import ROOT

CONFIG = ROOT / "tests" / "live" / "harness" / "schemathesis.toml"
SECONDS = int(os.environ.get("SCHEMATHESIS_SECONDS", "0"))
EXAMPLES = 8

pytestmark = pytest.mark.timeout(SECONDS + 300)


def test_every_operation_answers_as_the_document_says(serve: Serve, tmp_path: Path) -> None:
    server = serve("--engine", "simulator:latency=1ms")
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG)]
    command += ["run", f"{server.url}/openapi.json"]
    command += ["--no-color", "--max-examples", str(EXAMPLES)]
    command += ["--request-timeout", "20", "--continue-on-failure"]
    command += ["--max-time", str(SECONDS)] if SECONDS else ["--seed", "1"]
    settings = {
        "SCHEMATHESIS_HOOKS": schemathesis_hooks.__name__,
        "PYTHONPATH": str(ROOT),
        "HYPOTHESIS_STORAGE_DIRECTORY": str(tmp_path),
    }
    done = subprocess.run(
        command, env=clean_environment(settings), cwd=tmp_path, capture_output=True, text=True,
        check=False, timeout=SECONDS + 280,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
    assert "Tested: 15" in done.stdout, done.stdout[-5_000:]
    assert server.calls.ask("GET", "/readyz").status == 200
