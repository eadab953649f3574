"""Labels every review of reviews.csv with one batch, through the official `anthropic` SDK.

Nothing here knows of Batchyard: the SDK reads ANTHROPIC_BASE_URL and ANTHROPIC_API_KEY.
"""

from __future__ import annotations

import csv
import os
import sys
import time
from collections import Counter
from pathlib import Path

import anthropic
from anthropic.types.messages import MessageBatch, MessageBatchIndividualResponse

MODEL = os.environ.get("MODEL", "claude-haiku-4-5")
SYSTEM = """You label product reviews.
Answer with one word and nothing else: positive, negative or mixed.
A review that praises one thing and complains of another is mixed. Irony counts as it is meant."""
LABELS = ("positive", "negative", "mixed")


def main() -> None:
    """Create the batch, wait for it, join the answers to the rows, print what came out."""
    with (Path(__file__).parent / "reviews.csv").open(encoding="utf-8", newline="") as file:
        reviews = {row["id"]: row for row in csv.DictReader(file)}
    client = anthropic.Anthropic()
    started = time.monotonic()
    batch = client.messages.batches.create(
        requests=[
            {
                "custom_id": review_id,
                "params": {
                    "model": MODEL,
                    "max_tokens": 16,
                    "system": SYSTEM,
                    "messages": [{"role": "user", "content": review["review_text"]}],
                },
            }
            for review_id, review in reviews.items()
        ]
    )
    print(f"{batch.id}  {len(reviews)} reviews")
    batch = wait(client, batch)
    results = {result.custom_id: result for result in client.messages.batches.results(batch.id)}
    report(reviews, results, time.monotonic() - started)


def wait(client: anthropic.Anthropic, batch: MessageBatch) -> MessageBatch:
    """Poll until the batch has ended, with one line of progress."""
    live = sys.stdout.isatty()
    while True:
        counts = batch.request_counts
        done = counts.succeeded + counts.errored + counts.canceled + counts.expired
        line = f"{batch.processing_status:12} {done:4} of {done + counts.processing}"
        if live or batch.processing_status == "ended":
            print(f"\r{line}", end="" if batch.processing_status != "ended" else "\n", flush=True)
        if batch.processing_status == "ended":
            return batch
        time.sleep(0.5)
        batch = client.messages.batches.retrieve(batch.id)


def report(
    reviews: dict[str, dict[str, str]],
    results: dict[str, MessageBatchIndividualResponse],
    seconds: float,
) -> None:
    """A few rows, the labels by stars, the outcomes and the tokens."""
    labels: Counter[tuple[str, str]] = Counter()
    outcomes: Counter[str] = Counter()
    tokens_in = tokens_out = 0
    print("\n  id      stars  label     answer              review")
    for number, (review_id, review) in enumerate(reviews.items()):
        result = results[review_id].result
        outcomes[result.type] += 1
        answer = ""
        if result.type == "succeeded":
            usage = result.message.usage
            tokens_in += usage.input_tokens + (usage.cache_read_input_tokens or 0)
            tokens_out += usage.output_tokens
            answer = " ".join(b.text for b in result.message.content if b.type == "text")
        label = next((word for word in LABELS if word in answer.lower()), "unclear")
        labels[review["stars"], label] += 1
        if number % (len(reviews) // 8) == 0:
            print(
                f"  {review_id}  {review['stars']:5}  {label:8}  {answer[:18]!r:20}"
                f"{review['review_text'][:44]!r}"
            )
    print("\n  stars  " + "".join(f"{label:>10}" for label in (*LABELS, "unclear")))
    for stars in "12345":
        row = "".join(f"{labels[stars, label]:>10}" for label in (*LABELS, "unclear"))
        print(f"  {stars:5}  {row}")
    shown = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())
    print(f"\n{shown} in {seconds:.1f} s · {tokens_in} tokens in · {tokens_out} tokens out")


if __name__ == "__main__":
    main()
