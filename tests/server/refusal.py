"""A server that refuses to start, and what it says."""

from __future__ import annotations

import subprocess
import sys

from tests.live.harness.serving import clean_environment


def refused(*flags: str, env: dict[str, str] | None = None) -> str:
    """What `batchyard serve` says when it refuses to start; nothing of it may be left."""
    done = subprocess.run(
        [sys.executable, "-m", "batchyard", "serve", *flags],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
        env=clean_environment(env or {}),
    )
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr
