"""The figures: sums and maxima, and a verdict that is only 0 when every audit has passed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash import torture
from tests.crash.figures import ROWS, Figures, table, total
from tests.crash.ledger import Kill, Ledger
from tests.crash.lengths import SECONDS_VARIABLE, rounds
from tests.crash.test_ledger import batch, call


def test_counts_are_summed_and_of_maxima_the_largest_is_kept() -> None:
    summed = total([{"kills": 2, "repeats_per_kill": 7}, {"kills": 3, "repeats_per_kill": 5}])
    assert (summed.kills, summed.repeats_per_kill) == (5, 7)
    assert ROWS.keys() == vars(Figures()).keys()


def test_nothing_is_said_to_be_lost_or_not_once_an_audit_has_failed() -> None:
    good = "\n".join(table(Figures(), failed=0))
    assert "not known" not in good
    assert good.splitlines()[-1].endswith("| 0 |")
    bad = "\n".join(table(Figures(), failed=2))
    assert bad.count("not known: 2 tests failed") == 3


def test_what_was_audited_is_counted() -> None:
    ledger, figures = Ledger(), Figures()
    ledger.entries("t", 2)
    ledger.acknowledge("t", batch())
    ledger.entries("unanswered", 9)
    ledger.kills.append(Kill("dispatch", 10.5, 10.6))
    figures.audited(ledger, [call("t-0", 10.0, None), call("t-0", 11.0, 12.0)])
    assert figures == Figures(kills=1, batches=1, requests=2, repeats=1, repeats_per_kill=1)


def test_a_table_goes_between_its_marks_and_changes_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paper = tmp_path / "promises.md"
    paper.write_text(f"before\n{torture.MARKS[0]}\nold\n{torture.MARKS[1]}\nafter\n")
    monkeypatch.setattr(torture, "PAPER", paper)
    for _ in range(2):
        torture.write(["| new | 1 |"])
    kept = f"before\n{torture.MARKS[0]}\n| new | 1 |\n{torture.MARKS[1]}\nafter\n"
    assert paper.read_text() == kept


def test_rounds_are_counted_and_in_torture_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SECONDS_VARIABLE, raising=False)
    assert list(rounds(3)) == [0, 1, 2]
    monkeypatch.setenv(SECONDS_VARIABLE, "0.02")
    assert len(list(rounds(3))) > 3


def test_torture_takes_every_file_that_has_a_long_form() -> None:
    named = {part.name for part in (*torture.programs(60.0), *torture.rooms(60.0))}
    folder = Path(__file__).parent
    long = {
        path.stem
        for path in folder.glob("test_*.py")
        if path.name != Path(__file__).name
        and ("in rounds(" in path.read_text() or "long_form()" in path.read_text())
    }
    assert long <= named
