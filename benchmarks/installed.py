"""Interpreters for other clients: an environment each under `.cache`, made once."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

CACHE = Path(__file__).parent.parent / ".cache" / "clients"
_REQUIRES = re.compile(r"^# requires: (.*)$", re.M)


class NotInstallable(Exception):
    """Its packages cannot be had here; says what pip said."""


def interpreter(client: Path) -> Path:
    """The interpreter for `client`, with what its `# requires:` line names. Installs once."""
    named = _REQUIRES.search(client.read_text())
    assert named, client
    home = CACHE / client.stem
    python, mark = home / "bin" / "python", home / "installed"
    if not mark.exists() or mark.read_text() != named[1]:
        print(f"installing {named[1]} for {client.name}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
        pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        command = [*pip, *named[1].split()]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise NotInstallable(done.stderr.strip().splitlines()[-1])
        mark.write_text(named[1])
    return python
