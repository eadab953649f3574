"""`python -m tests.fuzz.install`: atheris under `.cache/fuzz`, where there is a wheel of it.

It is no dependency of the house: there are wheels for Linux only.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HOME = Path(__file__).parents[2] / ".cache" / "fuzz"
WANTED = "atheris==3.0.0"


def main() -> None:
    """Install, unless it was done before."""
    done = HOME / "installed.txt"
    wanted = f"{WANTED} for Python {sys.version_info.major}.{sys.version_info.minor}"
    if done.is_file() and done.read_text() == wanted:
        return
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--only-binary", ":all:"]
    command = [*pip, "--no-deps", "--upgrade", "--target", str(HOME), WANTED]
    if subprocess.run(command, check=False).returncode != 0:
        sys.exit(f"{wanted} cannot be installed here; the corpus is replayed without it")
    done.write_text(wanted)


if __name__ == "__main__":
    main()
