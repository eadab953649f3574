"""`python -m tests.fuzz TARGET --runs N`: atheris on one parser, or on `all` of them in turn.

Needs `python -m tests.fuzz.install`. New inputs are kept in `.cache/fuzz/found/TARGET`; one that
breaks a law is written beside them as `crash-…`, and belongs into `tests/fuzz/corpus/TARGET` once
the fault is mended. The last line is a JSON object with the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from tests.fuzz.install import HOME

NAMES = (
    "body", "params", "unpack", "results", "requests", "refusal", "completion", "message",
    "stream", "models", "translation", "http", "socket", "call", "schema", "reading",
)  # fmt: skip
LENGTH_MAX = 4_096
_DONE = re.compile(r"Done (\d+) in")
_COVERED = re.compile(r"cov: (\d+)")


def fuzz(name: str) -> None:
    """One target in this process, which atheris ends."""
    try:
        import atheris
    except ImportError:
        sys.exit("error: atheris is not installed; python -m tests.fuzz.install")
    with atheris.instrument_imports(include=["batchyard"]):
        from tests.fuzz.targets import TARGETS
    atheris.Setup(sys.argv, TARGETS[name])
    atheris.Fuzz()


def run(name: str, runs: int, seed: int) -> dict[str, object]:
    """The figures of `runs` executions of one target in a process of its own."""
    found = HOME / "found" / name
    found.mkdir(parents=True, exist_ok=True)
    corpus = Path(__file__).parent / "corpus" / name
    words = [f"-atheris_runs={runs}", f"-runs={runs}", f"-max_len={LENGTH_MAX}", f"-seed={seed}"]
    words += [f"-artifact_prefix={found}/", "-timeout=20", "-rss_limit_mb=2048"]
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", name, "--inside", *words, str(found), str(corpus)],
        env={**os.environ, "PYTHONPATH": str(HOME)},
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stderr + done.stdout
    finished = _DONE.findall(said)
    covered = _COVERED.findall(said)
    if done.returncode != 0 or not finished:
        print(said[said.find("Uncaught Python exception") :][-6_000:], file=sys.stderr)
    return {
        "target": name,
        "runs": int(finished[-1]) if finished else 0,
        "seconds": round(time.monotonic() - started, 1),
        "covered": int(covered[-1]) if covered else 0,
        "broken": done.returncode != 0,
    }


def main() -> None:
    """Every named target, one after the other; ends with 1 when a law was broken."""
    parser = argparse.ArgumentParser(prog="tests.fuzz")
    parser.add_argument("target", choices=[*NAMES, "all"])
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    names = NAMES if given.target == "all" else (given.target,)
    figures = []
    for name in names:
        figures.append(run(name, given.runs, given.seed))
        print(json.dumps(figures[-1]), flush=True)
    broken = [str(each["target"]) for each in figures if each["broken"]]
    executions = sum(int(str(each["runs"])) for each in figures)
    print(json.dumps({"targets": len(names), "executions": executions, "broken": broken}))
    sys.exit(bool(broken))


if __name__ == "__main__":
    if "--inside" in sys.argv:
        target = sys.argv.pop(1)
        sys.argv.remove("--inside")
        fuzz(target)
    else:
        main()
