"""The simulation itself: a seed is a history, and what is broken on purpose is found."""

from __future__ import annotations

from tests.simulation.seeds import live_through


def test_a_seed_is_a_history() -> None:
    for seed in range(8):
        once, again = live_through(seed), live_through(seed)
        assert once.story == again.story
        assert once.happened == again.happened
