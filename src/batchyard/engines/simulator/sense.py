"""A little sense of words: whether a text leans to the good or the bad, and which label fits it."""

from __future__ import annotations

import random
import re
from typing import Any

_WORD = re.compile(r"[a-z']+")
_GOOD_WORDS = """
amazing awesome beautiful best brilliant comfortable delicious delight delighted easy enjoy
enjoyed excellent exceeded fantastic fast favorite favourite fine flawless friendly glad great
happy helpful impressed impressive incredible love loved lovely nice outstanding perfect
perfectly pleasant pleased positive quick quiet recommend recommended reliable satisfied smooth
solid sturdy superb thank thanks thrilled warm wonderful works worth
"""
_GOOD = frozenset(_GOOD_WORDS.split())
_BAD_WORDS = """
angry annoying arrived awful bad bland boring broke broken cheap cold complaint cracked crash
crashes damaged defective dirty disappointed disappointing disappointment fail failed fails
faulty flimsy frustrating horrible ignored lacks late leak leaked leaking missing negative never
noisy overpriced poor poorly problem refund regret returned returning rude rip scam scratched
slow smell smells stopped terrible tore unhappy unreliable unusable useless waste wasted weak
worse worst wrong
"""
_BAD = frozenset(_BAD_WORDS.split())
_NOT_WORDS = """
not no never isn't wasn't don't didn't doesn't can't couldn't won't hardly
"""
_NOT = frozenset(_NOT_WORDS.split())
_GOOD_LABEL = re.compile(r"positive|good|happy|satisf|praise|favou?r|yes|pass", re.IGNORECASE)
_BAD_LABEL = re.compile(r"negative|bad|unhappy|dissatisf|complain|against|no\b|fail", re.IGNORECASE)
_MIDDLE_LABEL = re.compile(r"neutral|mixed|unclear|unknown|maybe|none|other", re.IGNORECASE)


def lean(text: str) -> int:
    """Above zero for a text that praises, below for one that complains, else zero."""
    score, turned = 0, False
    for word in _WORD.findall(text[:4_000].lower()):
        worth = (word in _GOOD) - (word in _BAD)
        score += -worth if turned else worth
        turned = word in _NOT
    return score


def pick(labels: list[Any], text: str, chance: random.Random) -> Any:
    """The label that fits `text`: one it leans to, else one it names, else any, by `chance`."""
    names = [str(label) for label in labels]
    good = [i for i, name in enumerate(names) if _GOOD_LABEL.search(name)]
    bad = [i for i, name in enumerate(names) if _BAD_LABEL.search(name) and i not in good]
    if good and bad:
        middle = [i for i, name in enumerate(names) if _MIDDLE_LABEL.search(name)]
        score = lean(text)
        side = good if score > 0 else bad if score < 0 else middle or good
        return labels[side[0]]
    lowered = text.lower()
    named = [i for i, name in enumerate(names) if name and name.lower() in lowered]
    if 0 < len(named) < len(names):
        return labels[named[0]]
    return chance.choice(labels)
