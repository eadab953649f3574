"""Results that are wrong: no answer ever goes to another row."""

from __future__ import annotations

import pytest

from tests.pipeline.run.conftest import Bench


def only_line(lines: list[str], position: int) -> list[str]:
    return [line for line in lines if f'-{position}"' in line]


async def test_a_row_without_a_line_is_lost_and_named(bench: Bench) -> None:
    bench.server.mend = lambda lines: [line for line in lines if line not in only_line(lines, 2)]
    outcomes = await bench.finish()
    row = outcomes[2]
    assert (row.status, row.error_type) == ("errored", "lost")
    assert f"{bench.store.manifest.tag}-1-2" in str(row.error)
    assert bench.store.kinds() == {"lost": 1}


async def test_a_row_with_two_lines_takes_none_of_them(bench: Bench) -> None:
    bench.server.mend = lambda lines: lines + only_line(lines, 2)
    outcomes = await bench.finish()
    assert (outcomes[2].error_type, outcomes[2].answer) == ("lost", None)
    assert "more than once" in str(outcomes[2].error)
    assert bench.store.kinds() == {"lost": 1}
    assert bench.store.totals.succeeded == 9


@pytest.mark.parametrize("name", ["who-1-2", "{tag}-1-02", "{tag}-1-9", "{tag}-2-2", "{tag}-1-"])
async def test_a_line_of_nobody_is_nobodys_answer(bench: Bench, name: str) -> None:
    wrong = name.format(tag=bench.store.manifest.tag)
    right = f"{bench.store.manifest.tag}-1-2"
    bench.server.mend = lambda lines: [
        line.replace(f'"{right}"', f'"{wrong}"').replace("ROW 2", "SWAPPED") for line in lines
    ]
    runner = bench.runner()
    await runner.prepare()
    await runner.submit()
    await runner.wait()
    assert (await runner.collect()).unknown == (wrong,)
    outcomes = list(bench.store.outcomes())
    assert [one.position for one in outcomes if one.error_type == "lost"] == [2]
    assert f'one for "{wrong}"' in str(outcomes[2].error)
    assert "SWAPPED" not in str([one.answer for one in outcomes])


async def test_a_line_that_is_no_result_is_a_row_lost(bench: Bench) -> None:
    bench.server.mend = lambda lines: ["<html>" if x in only_line(lines, 2) else x for x in lines]
    assert [one.error_type for one in await bench.finish()].count("lost") == 1
