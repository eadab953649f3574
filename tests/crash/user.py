"""A user who cannot be put off: creates, polls and cancels while the server dies under them."""

from __future__ import annotations

import random
import threading
import time

from tests.crash.ledger import Ledger, Promised
from tests.live.harness.calls import Calls

UNFINISHED_MAX = 12


class User(threading.Thread):
    """`with User(url, ledger, seed) as user:` keeps using the server until the block is left.

    Every connection error counts as "no answer": a create without an answer stays unacknowledged,
    a cancel without one may or may not have happened. Anything else that goes wrong is raised
    where the block ends.
    """

    def __init__(self, url: str, ledger: Ledger, seed: int, *, sizes: tuple[int, ...]) -> None:
        super().__init__(daemon=True, name="user")
        self._calls = Calls(url, timeout=20)
        self._ledger = ledger
        self._dice = random.Random(seed)
        self._sizes = sizes
        self._leaving = threading.Event()
        self._failure: BaseException | None = None
        self.answers = 0

    def __enter__(self) -> User:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._leaving.set()
        self.join(60)
        self._calls.close()
        if self._failure is not None:
            raise self._failure

    def run(self) -> None:
        try:
            while not self._leaving.is_set():
                try:
                    self._step()
                    self.answers += 1
                except OSError:
                    time.sleep(0.02)
        except BaseException as failure:  # noqa: BLE001 (raised again by the test's own thread)
            self._failure = failure

    def _step(self) -> None:
        unfinished = [p for p in self._ledger.acknowledged() if p.ended_seen is None]
        if not unfinished or (len(unfinished) < UNFINISHED_MAX and self._dice.random() < 0.3):
            self._create()
        elif self._dice.random() < 0.04:
            self._cancel(self._dice.choice(unfinished))
        else:
            promise = self._dice.choice(unfinished)
            assert promise.batch_id is not None
            self._ledger.saw(promise, self._calls.batch(promise.batch_id))
            time.sleep(0.005)

    def _create(self) -> None:
        tag = f"u{len(self._ledger.promised)}"
        entries = self._ledger.entries(tag, self._dice.choice(self._sizes))
        batch = self._calls.create(entries)
        self._ledger.acknowledge(tag, batch)
        # Read-your-writes: from the moment of the answer it is there (I-02).
        assert self._calls.batch(batch["id"])["id"] == batch["id"]

    def _cancel(self, promise: Promised) -> None:
        assert promise.batch_id is not None
        promise.cancel_asked = promise.cancel_asked or time.monotonic()
        batch = self._calls.cancel(promise.batch_id)
        if promise.cancel_acknowledged is None:
            promise.cancel_acknowledged = time.monotonic()
        assert batch["processing_status"] in ("canceling", "ended"), batch
        self._ledger.saw(promise, batch)
