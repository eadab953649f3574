"""Bugs where bytes are kept: syncs dropped, tails believed, lines doubled, errors swallowed."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

from tests.planted.bugs import caught_by, swap

CRASHES = "tests/store/durability/test_crash_points.py"
COMMITTER = "tests/store/durability/test_committer.py"
DISKS = "tests/store/durability/test_bad_disks.py"
RECOVERY = "tests/store/durability/test_recovery.py"
TAKE = "tests/store/durability/test_take.py"
FENCES = "tests/store/durability/test_fences.py"


@caught_by(
    f"{CRASHES}::test_a_power_loss_at_any_step_loses_nothing_acknowledged", fails_with=("Damaged",)
)
def body_not_synced() -> None:
    """A create is answered while its body is still in the page cache."""
    from batchyard.store.spool import Spool

    swap(Spool, "sync", lambda _: lambda self: None)


@caught_by(f"{CRASHES}::test_a_power_loss_at_any_step_loses_nothing_acknowledged")
def results_not_synced() -> None:
    """Result lines are counted as soon as they are written."""
    from batchyard.store.segments import files

    def put(self: Any, data: bytes, offset: int) -> None:
        files._write_all(self._files, self._fd, data, offset)

    swap(files._File, "put", lambda _: put)


@caught_by(f"{CRASHES}::test_what_recovery_counted_survives_a_power_loss_after_the_kill")
def recovered_lines_not_synced() -> None:
    """What a killed process left is counted without a sync of its own."""
    from batchyard.store.segments.files import LocalSegments

    swap(LocalSegments, "seal", lambda _: lambda self, batch_id, name, size: None)


@caught_by(
    f"{CRASHES}::test_a_power_loss_at_any_step_loses_nothing_acknowledged", fails_with=("Damaged",)
)
def names_not_synced() -> None:
    """Files are synced, the folders that name them are not."""
    from batchyard.store.segments.files import FileSystem
    from tests.store.filesystems import MortalFileSystem

    for files in (FileSystem, MortalFileSystem):
        swap(files, "sync_folder", lambda _: lambda self, path: None)


@caught_by(
    f"{CRASHES}::test_a_kill_at_any_step_loses_nothing_acknowledged", fails_with=("Damaged",)
)
def row_before_bytes() -> None:
    """The row of a batch is durable before its body has its name."""
    from batchyard.store.keeping import Keeper

    def create(keep: Any) -> Any:
        def created(self: Any, body: Any, *rest: Any) -> Any:
            moves: list[Any] = []
            adopt = self.segments.adopt
            self.segments.adopt = lambda *names: moves.append(names)
            try:
                batch = keep(self, body, *rest)
            finally:
                self.segments.adopt = adopt
            for names in moves:
                adopt(*names)
            return batch

        return created

    swap(Keeper, "create", create)


@caught_by(f"{COMMITTER}::test_the_first_line_of_a_request_wins")
def second_line_accepted() -> None:
    """A request that has its line gets another."""
    from batchyard.store.taken import Tail

    def take(accept: Any) -> Any:
        def taken(self: Any, custom_id: str, *rest: Any) -> Any:
            self.waiting.add(custom_id)
            return accept(self, custom_id, *rest)

        return taken

    swap(Tail, "take", take)


@caught_by(f"{COMMITTER}::test_what_is_not_one_line_of_this_request_is_refused")
def mixed_up_line_accepted() -> None:
    """The line of one request is taken for that of another."""
    from batchyard.store.taken import Tail

    def take(self: Any, custom_id: str, outcome: Any, line: bytes) -> bool:
        if self.lost or self.released or custom_id not in self.waiting:
            return False
        self.waiting.remove(custom_id)
        self.lines.append(line)
        self.gained.append(outcome)
        return True

    swap(Tail, "take", lambda _: take)


@caught_by(f"{RECOVERY}::test_a_cut_leaves_every_whole_line_and_nothing_of_the_torn_one")
def torn_tail_accepted() -> None:
    """A line cut short by a crash counts as a result."""
    from batchyard import wire
    from batchyard.store import recovery

    def head(line: bytes) -> Any:
        start = len(b'{"custom_id":"')
        custom_id = line[start : line.find(b'"', start)].decode("latin-1")
        return wire.result_head(line) or wire.result_head(
            b'{"custom_id":"%b","result":{"type":"canceled"}}\n' % custom_id.encode()
        )

    swap(recovery, "_head", lambda _: head)


@caught_by(
    f"{TAKE}::test_good_lines_behind_a_damage_are_saved",
    f"{RECOVERY}::test_every_request_in_the_recorded_bytes_is_saved_once_whatever_else_lies_there",
)
def salvage_ignored() -> None:
    """Good lines behind a damaged one are thrown away with it."""
    from batchyard.store import recovery

    def read(sound: Any) -> Any:
        def found(*arguments: Any, **keywords: Any) -> Any:
            it = sound(*arguments, **keywords)
            it.salvaged = []
            return it

        return found

    swap(recovery, "read_results", read)
    from tests.store.durability import test_recovery

    test_recovery.read_results = recovery.read_results  # type: ignore[attr-defined]


@caught_by(f"{TAKE}::test_a_restarted_process_goes_on_where_the_counts_stood")
def recovery_forgets() -> None:
    """A new owner of a shard asks for what was answered before."""
    from batchyard.store import recovery

    swap(recovery, "read_results", lambda _: lambda *_, **__: recovery.Found())


@caught_by(f"{DISKS}::test_a_sync_that_failed_is_not_asked_again")
def failed_sync_retried() -> None:
    """A sync that failed is swallowed and tried again: the kernel says yes the second time."""
    from batchyard.store.segments import files

    def put(self: Any, data: bytes, offset: int) -> None:
        with files.told("write"):
            files._write_all(self._files, self._fd, data, offset)
            with contextlib.suppress(OSError):
                self._files.sync(self._fd)
                return
            self._files.sync(self._fd)

    swap(files._File, "put", lambda _: put)


@caught_by(
    "tests/dispatch/test_trouble.py::test_a_full_disk_makes_work_wait_and_loses_nothing",
    "tests/contracts/test_segments.py::test_a_short_write_is_continued_and_a_full_disk_told",
    fails_with=("StorageFailed",),
)
def full_disk_is_the_end() -> None:
    """A disk without room ends the process, as one that fails."""
    from batchyard.store.segments import files

    swap(files, "FULL_ERRNOS", lambda _: frozenset())


@caught_by("tests/api/test_intake.py::test_a_faulty_envelope_leaves_nothing")
def refused_body_kept() -> None:
    """The body of a refused create stays on the disk."""
    from batchyard.store.spool import Spool

    swap(Spool, "discard", lambda _: Spool.close)


@caught_by(
    "tests/store/test_results.py::test_a_download_of_a_segment_that_lost_its_end_breaks_visibly"
)
def short_segment_ends_cleanly() -> None:
    """A download whose bytes are lost ends as if it were whole."""
    from batchyard.errors import Damaged
    from batchyard.store.results import Stretch

    def pieces(sound: Any) -> Any:
        async def until_the_loss(self: Any) -> Any:
            with contextlib.suppress(Damaged):
                async for piece in sound(self):
                    yield piece

        return until_the_loss

    swap(Stretch, "pieces", pieces)


@caught_by(f"{FENCES}::test_a_late_worker_changes_nothing")
def late_bytes_read() -> None:
    """Results are read to the end of each file, whatever a late writer appended."""
    from batchyard.store.results import Stretch

    async def pieces(self: Any) -> Any:
        segment, offset = await self._opening, self._offset
        while piece := segment.read(offset, 1 << 20):
            offset += len(piece)
            yield piece

    swap(Stretch, "pieces", lambda _: pieces)


@caught_by("tests/store/test_results.py::test_large_results_come_in_pieces_of_at_most_a_mebibyte")
def results_in_one_piece() -> None:
    """A download is read into memory whole."""
    from batchyard.store import results

    swap(results, "CHUNK_BYTES_MAX", lambda _: 1 << 40)


@caught_by(
    "tests/store/test_lock.py::test_the_second_server_hears_who_holds_it_and_touches_nothing"
)
def lock_not_taken() -> None:
    """Two servers run on one data directory."""
    from batchyard.store import lock

    swap(lock, "_locked", lambda _: lambda fd, kind, tries: True)


@caught_by(
    "tests/store/test_results.py::test_a_flipped_bit_is_reported_and_never_served",
    f"{TAKE}::test_a_flipped_bit_that_still_reads_well_is_noticed_by_the_next_owner",
    f"{TAKE}::test_a_flipped_bit_in_a_segment_of_an_earlier_owner_is_noticed_too",
)
def checksum_not_looked_at() -> None:
    """Bytes that have changed on the disk are served as if they were answers."""
    from batchyard.batches.batch import Segment
    from batchyard.store.catalog import shards

    def of_row(sound: Any) -> Any:
        def forgetful(row: Any) -> Any:
            shard = sound(row)
            bare = tuple(Segment(it.fence, it.size) for it in shard.segments)
            return dataclasses.replace(shard, segments=bare)

        return forgetful

    swap(shards, "of_row", of_row)


@caught_by(f"{TAKE}::test_what_recovery_finds_beyond_the_record_gets_its_checksum")
def checksum_not_grown_by_recovery() -> None:
    """What recovery finds beyond the record is counted under the record's checksum."""
    from batchyard.store.segments import checksum

    def read(sound: Any) -> Any:
        return lambda segment, size, start=0, so_far=0: (
            (size, so_far) if start else sound(segment, size)
        )

    swap(checksum, "read", read)
