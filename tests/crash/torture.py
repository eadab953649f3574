"""`make torture`: every fault test in its long form, two lanes side by side, one table at the end.

`TORTURE_SECONDS` (600) is about how long it takes; `SEEDS` and `FUZZ_RUNS` (per parser) follow from
it unless they are given. What each part printed is under `.cache/torture`. With `--write` the table
goes into `docs/promises.md`. Ends with 1 when anything was lost or any law was broken.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tests.crash.figures import FILE_VARIABLE, table, total
from tests.crash.lengths import SECONDS_VARIABLE

ROOT = Path(__file__).parents[2]
LOGS = ROOT / ".cache" / "torture"
PAPER = ROOT / "docs" / "promises.md"
MARKS = ("<!-- figures -->", "<!-- /figures -->")
SECONDS = 600.0
SEEDS_PER_SECOND = 15
FUZZ_RUNS_PER_SECOND = 150


@dataclass(frozen=True)
class Part:
    """One command; `environment` on top of ours."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


def programs(seconds: float) -> list[Part]:
    """Real servers, killed, cut off and starved: they share the seconds by these weights."""
    weights = {  # file -> weight of each test that goes on until its time is up, and their number
        "test_torture.py": (3.0, 1),
        "test_points_of_servers.py": (1.5, 2),
        "test_power_cuts.py": (1.5, 2),
        "test_starting.py": (0.5, 2),
        "test_bad_disks.py": (0.2, 6),
    }
    unit = seconds / sum(weight * tests for weight, tests in weights.values())
    return [
        _pytest(f"tests/crash/{file}", {SECONDS_VARIABLE: f"{weight * unit:.1f}"})
        for file, (weight, _) in weights.items()
    ]


def rooms(seconds: float) -> list[Part]:
    """What needs no server: every crash point of every act, seeded simulation, fuzzed parsers."""
    seeds = os.environ.get("SEEDS", str(int(seconds * SEEDS_PER_SECOND)))
    runs = os.environ.get("FUZZ_RUNS", str(int(seconds * FUZZ_RUNS_PER_SECOND)))
    return [
        _pytest("tests/crash/test_points_of_acts.py", {SECONDS_VARIABLE: "1"}),
        _pytest("tests/simulation", {"SEEDS": seeds}),
        Part("fuzz-install", ["-m", "tests.fuzz.install"]),
        Part("fuzz", ["-m", "tests.fuzz", "all", "--runs", runs]),
    ]


def _pytest(path: str, environment: Mapping[str, str]) -> Part:
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", path]
    return Part(Path(path).stem, command, environment)


@dataclass
class Run:
    """A torture under way."""

    failed: list[str] = field(default_factory=list)

    def lane(self, parts: Sequence[Part]) -> None:
        """One part after the other."""
        for part in parts:
            started = time.monotonic()
            ok = self._ran(part)
            took = time.monotonic() - started
            print(f"{'ok    ' if ok else 'FAILED'}  {took:6.0f} s  {part.name}", flush=True)
            if not ok:
                self.failed.append(part.name)

    def _ran(self, part: Part) -> bool:
        log = LOGS / f"{part.name}.log"
        environment = {**os.environ, **part.environment, FILE_VARIABLE: str(LOGS / "figures.jsonl")}
        with log.open("wb") as output:
            done = subprocess.run(
                [sys.executable, *part.command],
                stdout=output, stderr=output, stdin=subprocess.DEVNULL,
                cwd=ROOT, env=environment, check=False,
            )  # fmt: skip
        return done.returncode == 0


def main() -> int:
    """Run everything, print the table."""
    seconds = _seconds()
    LOGS.mkdir(parents=True, exist_ok=True)
    for old in LOGS.iterdir():
        old.unlink()
    run, began = Run(), time.monotonic()
    beside = threading.Thread(target=run.lane, args=[rooms(seconds)], daemon=True)
    beside.start()
    run.lane(programs(seconds))
    beside.join()
    lines = figures(run.failed, time.monotonic() - began)
    print("\n".join(lines))
    if "--write" in sys.argv:
        write(lines)
    if run.failed:
        print(f"failed: {', '.join(run.failed)}; see {LOGS}", file=sys.stderr)
    return 1 if run.failed else 0


def figures(failed: Sequence[str], seconds: float) -> list[str]:
    """The table, with what the other parts have counted, the date, and the kind of machine."""
    counted = (LOGS / "figures.jsonl").read_text(encoding="utf-8").splitlines()
    told = [json.loads(line) for line in counted]
    lines = table(total(told), failed=max(len(failed), sum(each["failed"] for each in told)))
    lines.append(f"| seeds of the simulation | {_seeds():,} |")
    lines.append(f"| executions of the parsers under the fuzzer | {_executions():,} |")
    gibibytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    machine = f"{os.cpu_count()} cores, {gibibytes:.0f} GiB, {platform.system()}"
    heading = f"{datetime.now(UTC):%d %B %Y}, {machine} {platform.release().split('-')[0]}"
    heading += f", Python {platform.python_version()}, {seconds / 60:.0f} minutes:"
    return [heading, "", "| | |", "|---|---:|", *lines]


def write(lines: Sequence[str]) -> None:
    """Put the table between its marks in the paper."""
    paper = PAPER.read_text(encoding="utf-8")
    before, _, rest = paper.partition(MARKS[0])
    after = rest.partition(MARKS[1])[2]
    inside = "\n".join([MARKS[0], *lines, MARKS[1]])
    PAPER.write_text(before + inside + after, encoding="utf-8")


def _seeds() -> int:
    """How many seeds the simulation was given, if it passed."""
    log = (LOGS / "simulation.log").read_text(encoding="utf-8", errors="replace")
    return 0 if "failed" in log else int(rooms(_seconds())[1].environment["SEEDS"])


def _executions() -> int:
    """What the fuzzer says of itself on its last line."""
    log = (LOGS / "fuzz.log").read_text(encoding="utf-8", errors="replace")
    found = re.findall(r'"executions": (\d+)', log)
    return int(found[-1]) if found else 0


def _seconds() -> float:
    return float(os.environ.get(SECONDS_VARIABLE) or SECONDS)


if __name__ == "__main__":
    sys.exit(main())
