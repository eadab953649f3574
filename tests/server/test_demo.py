"""`make demo` as a newcomer runs it: the example, unchanged, against a server of its own."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.house.tree import ROOT
from tests.live.harness.serving import clean_environment


@pytest.mark.timeout(120)
def test_the_demo_labels_every_review_and_leaves_nothing_running() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tools.demo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        env=clean_environment({"ENGINE": "simulator:latency=10ms,seed=7"}),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "✓ simulator   simulator-1" in done.stdout
    assert "300 of 300 ended" in done.stdout
    assert re.search(r"^300 succeeded in [\d.]+ s · \d+ tokens in", done.stdout, re.MULTILINE)
    assert done.stderr == ""
