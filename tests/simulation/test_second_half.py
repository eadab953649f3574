"""The second half of the seeds, in a file of its own: test workers share out files."""

from __future__ import annotations

import pytest

from tests.simulation import verdict


@pytest.mark.timeout(900)  # ten seconds of work, which a crowded machine may not find the time for
@pytest.mark.parametrize("seeds", verdict.chunks(1, 2), ids=lambda r: f"{r.start}-{r.stop - 1}")
def test_whatever_happens_every_request_ends_in_one_right_line(seeds: range) -> None:
    verdict.judge(seeds)
