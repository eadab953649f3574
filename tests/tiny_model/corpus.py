"""Plain English of a small world: what the tokenizer learns from and tests make prompts of."""

from __future__ import annotations

import random
from collections.abc import Iterator

_NOUNS = """batch request queue model token prompt system answer worker engine cache prefix
result record number garden river winter letter market teacher engineer city window morning
question story paper table machine signal budget invoice customer ticket product review"""
_VERBS = """reads writes sends keeps counts follows answers measures sorts moves finds builds opens
closes returns describes compares explains repeats orders cancels retries finishes"""
_ADJECTIVES = """short long quiet bright early late careful steady useful small large common first
second open plain exact shared empty simple"""
NOUNS, VERBS, ADJECTIVES = _NOUNS.split(), _VERBS.split(), _ADJECTIVES.split()
PATTERNS = [
    "The {a} {n} {v} the {n} before the {a} {n} {v} it.",
    "You are a {a} assistant. Describe the {n} of the {a} {n} in {d} words.",
    "When a {n} {v} {d} items, every {a} {n} {v} the next one.",
    "Question {d}: which {n} {v} the {a} {n}? Answer with one {n}.",
    "In {d} the {n} of the {n} was {a}, and the {n} was not.",
    '{{"{n}": "{a}", "{n}": {d}, "{n}": true}}',
]


def sentences(seed: int) -> Iterator[str]:
    """Sentences without end, the same ones for the same seed."""
    rng = random.Random(seed)
    while True:
        line = rng.choice(PATTERNS).replace("{{", "{").replace("}}", "}")
        for mark, words in (("{n}", NOUNS), ("{v}", VERBS), ("{a}", ADJECTIVES)):
            while mark in line:
                line = line.replace(mark, rng.choice(words), 1)
        yield line.replace("{d}", str(rng.randrange(1, 3000)))


def system_prompt(number: int, tokens: int = 1_450) -> str:
    """A long system prompt of about `tokens` tokens; two numbers differ from the first words on."""
    told = [f"Group {number * 7 + 11}."]
    room = tokens * 4.1 - len(told[0])
    for line in sentences(1_000 + number):
        told.append(line)
        room -= len(line) + 1
        if room <= 0:
            break
    return " ".join(told)
