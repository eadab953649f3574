"""Labels every review of reviews.csv with one batch, through the official `anthropic` SDK.

Nothing here knows of Batchyard: the SDK reads ANTHROPIC_BASE_URL and ANTHROPIC_API_KEY.
"""

from __future__ import annotations

import csv
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path

import anthropic
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from anthropic.types.messages import MessageBatch, MessageBatchIndividualResponse

MODEL = os.environ.get("MODEL", "claude-haiku-4-5")
LABELS = ("positive", "negative", "mixed")
SYSTEM = """You label product reviews, in whatever language they are written.
A review that praises one thing and complains of another is mixed. Irony counts as it is meant.
Give a reason of at most six words, in English."""
SCHEMA = {
    "type": "object",
    "properties": {
        "sentiment": {"type": "string", "enum": list(LABELS)},
        "reason": {"type": "string"},
    },
    "required": ["sentiment", "reason"],
    "additionalProperties": False,
}


def main() -> None:
    """Create the batch, wait for it, join the answers to the rows, print what came out."""
    with (Path(__file__).parent / "reviews.csv").open(encoding="utf-8", newline="") as file:
        reviews = {row["id"]: row for row in csv.DictReader(file)}
    client = anthropic.Anthropic()
    started = time.monotonic()
    batch = client.messages.batches.create(
        requests=[
            {"custom_id": review_id, "params": params(review["review_text"])}
            for review_id, review in reviews.items()
        ]
    )
    print(f"{batch.id}  {len(reviews)} reviews")
    wait(client, batch)
    results = {result.custom_id: result for result in client.messages.batches.results(batch.id)}
    report(reviews, results, time.monotonic() - started)


def params(review: str) -> MessageCreateParamsNonStreaming:
    """One request: the shared system prompt, the review, the form of the answer."""
    return {
        "model": MODEL,
        "max_tokens": 100,
        "system": SYSTEM,
        "messages": [{"role": "user", "content": review}],
        "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
    }


def wait(client: anthropic.Anthropic, batch: MessageBatch) -> None:
    """Poll until the batch has ended, with one line of progress: in place on a terminal."""
    shown = -1
    while True:
        counts = batch.request_counts
        done = counts.succeeded + counts.errored + counts.canceled + counts.expired
        total = done + counts.processing
        ended = batch.processing_status == "ended"
        line = f"{'█' * (20 * done // total):░<20} {done} of {total} {batch.processing_status}"
        if sys.stdout.isatty():
            print(f"\r{line:<60}", end="\n" if ended else "", flush=True)
        elif ended or 10 * done // total > shown:
            print(line, flush=True)
            shown = 10 * done // total
        if ended:
            return
        time.sleep(0.5)
        batch = client.messages.batches.retrieve(batch.id)


def report(
    reviews: dict[str, dict[str, str]],
    results: dict[str, MessageBatchIndividualResponse],
    seconds: float,
) -> None:
    """A few rows, the labels by stars, the outcomes and the tokens."""
    outcomes = Counter(results[review_id].result.type for review_id in reviews)
    answers = {review_id: sentiment(results[review_id]) for review_id in reviews}
    print(f"\n  {'id':8}{'stars':7}{'sentiment':11}{'reason':26}review")
    for review_id in list(reviews)[:: len(reviews) // 8]:
        label, reason = answers[review_id]
        row = reviews[review_id]
        print(f"  {review_id:8}{row['stars']:7}{label:11}{reason[:24]:26}{row['review_text'][:24]}")
    columns = (*LABELS, "unclear")
    table = Counter((reviews[review_id]["stars"], answers[review_id][0]) for review_id in reviews)
    print(f"\n  {'stars':7}" + "".join(f"{label:>10}" for label in columns))
    for stars in "12345":
        print(f"  {stars:7}" + "".join(f"{table[stars, label]:>10}" for label in columns))
    shown = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())
    print(f"\n{shown} in {seconds:.1f} s · {tokens(results)}")


def sentiment(result: MessageBatchIndividualResponse) -> tuple[str, str]:
    """The label and the reason of an answer; `unclear` where it is not what was asked for."""
    if result.result.type != "succeeded":
        return "unclear", result.result.type
    text = "".join(block.text for block in result.result.message.content if block.type == "text")
    try:
        answer = json.loads(text)
        label, reason = str(answer["sentiment"]), str(answer["reason"])
    except (ValueError, KeyError, TypeError):
        return "unclear", " ".join(text.split())
    return (label if label in LABELS else "unclear"), " ".join(reason.split())


def tokens(results: dict[str, MessageBatchIndividualResponse]) -> str:
    """Tokens over all answers, with the share that came from the engine's prefix cache."""
    fresh = cached = out = 0
    for result in results.values():
        if result.result.type == "succeeded":
            usage = result.result.message.usage
            fresh += usage.input_tokens + (usage.cache_creation_input_tokens or 0)
            cached += usage.cache_read_input_tokens or 0
            out += usage.output_tokens
    share = f" ({cached / (fresh + cached):.0%} from cache)" if cached else ""
    return f"{fresh + cached} tokens in{share} · {out} tokens out"


if __name__ == "__main__":
    main()
