"""`python -m tests.engines_vllm.install`: a virtual environment with vLLM under `.cache/vllm`.

About 2 GB and, with pip, one to two minutes. Done once per change of the requirements.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).parent
HOME = HERE.parents[1] / ".cache" / "vllm"
REQUIREMENTS = HERE / "requirements.txt"
DONE = HOME / "installed.txt"
CPU_WHEELS = "https://download.pytorch.org/whl/cpu"
"""Where PyTorch's builds for CPUs are, for package indexes that do not have them."""


def installed() -> bool:
    """Whether the environment is there and made of today's requirements."""
    return DONE.is_file() and DONE.read_text() == REQUIREMENTS.read_text()


def main() -> None:
    """Install, unless it was done before."""
    if installed():
        return
    print(f"installing vLLM into {HOME} (about 2 GB, one to two minutes)", flush=True)
    venv.create(HOME, with_pip=True)
    wanted = ["--no-deps", "-r", str(REQUIREMENTS), str(HERE / "shim")]
    pip = [str(HOME / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-cache-dir"]
    if subprocess.run([*pip, *wanted], check=False).returncode != 0:
        again = subprocess.run([*pip, "--extra-index-url", CPU_WHEELS, *wanted], check=False)
        if again.returncode != 0:
            sys.exit(again.returncode)
    DONE.write_text(REQUIREMENTS.read_text())


if __name__ == "__main__":
    main()
