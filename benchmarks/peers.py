"""Dispatch against what people use instead, each on the same upstream in the same run.

A peer's rate counts the time its own loop took, without its imports (Ray: without the start of its
cluster, with that of its workers). None of them has its answers on stable storage; flexllm writes
them to a file. Batchyard's rate is that of `benchmarks.dispatch`, every result durable.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from benchmarks.dispatch import CONNECTIONS, Run, by_batch, by_client, params, upstream
from benchmarks.installed import NotInstallable
from benchmarks.measuring import median, table
from benchmarks.served import Served, served

RUNS = 5
OURS = 30_000
PEERS = {"anthropic_sdk": 2_000, "litellm_loop": 1_500, "flexllm_batch": 6_000, "ray_data": 3_000}
"""So many requests each, for some seconds of work."""


def pairs(name: str, url: str, bodies: Path, server: Served) -> list[tuple[Run, Run]]:
    """A peer and Batchyard in turn."""
    found = []
    for number in range(RUNS):
        found.append((by_client(name, url, bodies), by_batch(server, url, OURS)))
        print(f"{name}, run {number + 1} of {RUNS}: {found[-1]}", file=sys.stderr)
    return found


def main() -> None:
    """Run in turn, print one table."""
    rows = []
    with tempfile.TemporaryDirectory() as folder, upstream(0.0) as url:
        flags = ("--engine", f"anthropic+{url};concurrency={CONNECTIONS}")
        with served(Path(folder, "data"), *flags) as server:
            by_batch(server, url, 2_000)
            for name, requests in PEERS.items():
                bodies = Path(folder, name)
                bodies.write_text("\n".join(json.dumps(params(n)) for n in range(requests)))
                try:
                    rows.append(_row(name, pairs(name, url, bodies, server)))
                except NotInstallable as error:
                    rows.append([name, f"cannot be installed here: {error}", "", "", ""])
    head = ["peer", "its requests/s", "its CPU µs", "Batchyard requests/s", "ratio of pairs"]
    print(table("Dispatch against Python peers, 256 at once, an upstream at once", head, rows))


def _row(name: str, found: list[tuple[Run, Run]]) -> list[str]:
    ratios = [ours.rate / theirs.rate for theirs, ours in found]
    return [
        name,
        f"{median([theirs.rate for theirs, _ in found]):,.0f}",
        f"{median([theirs.cpu for theirs, _ in found]):,.0f}",
        f"{median([ours.rate for _, ours in found]):,.0f}",
        f"{median(ratios):.0f} x ({min(ratios):.0f}-{max(ratios):.0f})",
    ]


if __name__ == "__main__":
    main()
