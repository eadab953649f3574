"""Requests that share long prompts, through Batchyard and as they came, on one llama.cpp slot.

Eight system prompts of about 1,450 tokens, interleaved; one slot and no host cache, so the engine
remembers exactly one prompt. Sent as they come, every request pays its whole prompt; Batchyard
sorts them first. Cached share and tokens are llama.cpp's own counters.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from typing import Any

from tests.tiny_model.corpus import system_prompt
from tests.tiny_model.serve import LlamaServer, serving

from benchmarks.measuring import batchyard, median, run_batch, table

RUNS = 5
PROMPTS, REQUESTS, AS_THEY_CAME = 8, 160, 48


def requests(seed: int) -> list[dict[str, Any]]:
    """`REQUESTS` requests over `PROMPTS` long prompts in turn; another seed, other prompts."""
    prompts = [system_prompt(seed * PROMPTS + number) for number in range(PROMPTS)]
    return [
        {
            "custom_id": f"r{number}",
            "params": {
                "model": "claude-any",
                "max_tokens": 8,
                "system": prompts[number % PROMPTS],
                "messages": [{"role": "user", "content": f"Question {number}: which one?"}],
            },
        }
        for number in range(REQUESTS)
    ]


def as_they_came(upstream: LlamaServer, batch: list[dict[str, Any]]) -> float:
    """Seconds for the bare requests in their own order, each right after the other."""
    began = time.perf_counter()
    for request in batch:
        call = urllib.request.Request(
            f"{upstream.url}/v1/messages", json.dumps(request["params"]).encode()
        )
        call.add_header("content-type", "application/json")
        with urllib.request.urlopen(call, timeout=600) as answer:
            answer.read()
    return time.perf_counter() - began


def cached_share(before: dict[str, float], after: dict[str, float]) -> float:
    """Share of prompt tokens that the engine did not have to compute."""
    cached = after["prompt_tokens_cached_total"] - before["prompt_tokens_cached_total"]
    computed = after["prompt_tokens_total"] - before["prompt_tokens_total"]
    return cached / (cached + computed)


def main() -> None:
    """Run in turn, print one table."""
    plain, ours, shares = [], [], ([], [])
    with (
        serving("small", slots=1, context=4_096) as upstream,
        batchyard("--engine", upstream.url) as url,
    ):
        for seed in range(RUNS):
            marks = [upstream.counters()]
            plain.append(as_they_came(upstream, requests(2 * seed)[:AS_THEY_CAME]))
            marks.append(upstream.counters())
            seconds, counts = run_batch(url, requests(2 * seed + 1))
            assert counts["succeeded"] == REQUESTS, counts
            ours.append(seconds)
            marks.append(upstream.counters())
            shares[0].append(cached_share(marks[0], marks[1]))
            shares[1].append(cached_share(marks[1], marks[2]))
            print(f"run {seed + 1} of {RUNS}", file=sys.stderr)
    slow = [AS_THEY_CAME / seconds for seconds in plain]
    fast = [REQUESTS / seconds for seconds in ours]
    ratios = [after / before for before, after in zip(slow, fast, strict=True)]
    print(
        table(
            "Prefix order on llama.cpp (one slot, 8 prompts of ~1,450 tokens)",
            ["path", "requests/s", "cached share"],
            [
                ["as they came", f"{median(slow):.2f}", f"{median(shares[0]):.3f}"],
                ["Batchyard", f"{median(fast):.2f}", f"{median(shares[1]):.3f}"],
                [
                    "ratio (median of pairs; min-max)",
                    f"{median(ratios):.1f} x ({min(ratios):.1f}-{max(ratios):.1f})",
                    "",
                ],
            ],
        )
    )


if __name__ == "__main__":
    main()
