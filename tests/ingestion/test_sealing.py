"""A sealed segment is the segment that it was: same name, same lines, same places, and no byte unchecked."""

import json
import multiprocessing
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import fsspec
import pytest

from ingestion.errors import EventLogDamagedError, TransientIngestionError
from ingestion.event_log import EventLog
from ingestion.records import Record
from ingestion.sealed_segments import FRAME_BYTES
from ingestion.sealing import SealReport, compact, seal, verify
from ingestion.time_ranges import TimeRange, lines_in
from tests.ingestion.messages import NOW

LATER = NOW + timedelta(days=30)


def filled(root: Path, days: int = 3, lines: int = 20) -> EventLog:
    log = EventLog(root, segment_bytes=500)
    for day in range(days):
        for start in range(0, lines, 4):
            at = NOW + timedelta(days=day, minutes=start)
            log.append(Record(at, "web", b'{"n":%d}' % number) for number in range(start, start + 4))
    return log


def content(log: EventLog, **limits: int) -> bytes:
    return b"".join(log.read(part) for batch in log.unread({}, **limits) for part in batch.slices)


def test_what_is_sealed_reads_as_before_and_takes_its_plain_file_away(tmp_path: Path) -> None:
    log = filled(tmp_path)
    before, lengths = content(log), log.segments()
    report = seal(log, LATER)
    assert (report.segments, report.bytes) == (len(lengths), len(before))
    assert list(tmp_path.glob("*/*.log")) == []
    for reader in (log, EventLog(tmp_path)):
        assert (content(reader), reader.segments()) == (before, lengths)
        assert content(reader, max_bytes=70) == content(reader, max_lines=1) == before
    assert seal(log, LATER) == SealReport()
    assert verify(log) == []


def test_reading_goes_on_in_a_segment_that_was_sealed_half_read(tmp_path: Path) -> None:
    log = filled(tmp_path, days=1, lines=4)
    [(name, end)] = log.segments().items()
    half = content(log)[: end // 2].rfind(b"\n") + 1
    seal(log, LATER)
    [batch] = log.unread({name: half})
    assert (batch.slices[0].start_byte, batch.slices[0].first_line, batch.lines) == (half, 3, 2)


def test_only_what_is_full_or_long_over_is_sealed(tmp_path: Path) -> None:
    log = filled(tmp_path, days=2)
    days = {name[:10] for name in log.segments()}
    assert days == {"2010-12-01", "2010-12-02"}
    newest = max(log.segments())
    seal(log, datetime(2010, 12, 3, 12, tzinfo=UTC))
    assert log.plain_segments() == [newest]
    seal(log, datetime(2010, 12, 4, 0, 1, tzinfo=UTC))
    assert log.plain_segments() == []


def test_what_comes_late_for_a_sealed_day_begins_a_segment_of_its_own(tmp_path: Path) -> None:
    log = filled(tmp_path, days=1)
    sealed = log.segments()
    before = content(log)
    seal(log, LATER)
    result = log.append([Record(NOW, "web", b"late")])
    assert result.segments == (f"2010-12-01/{len(sealed) + 1:06d}.log",)
    assert content(log) == before + b"2010-12-01T09:00:00.000Z\tweb\tlate\n"
    seal(log, LATER)
    assert list(log.segments()) == [*sealed, *result.segments]


def test_a_line_of_any_length_is_read_across_the_frames(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    log.append([Record(NOW, "web", b"x" * (2 * FRAME_BYTES + 7)), Record(NOW, "web", b"y")])
    before = content(log)
    seal(log, LATER)
    assert len(next(iter(log.sealed().segments.values())).frames) == 3
    assert content(log) == before


@pytest.mark.parametrize("is_sealed", [False, True])
def test_a_range_of_time_gives_its_lines_with_their_places(tmp_path: Path, is_sealed: bool) -> None:
    log = filled(tmp_path)
    if is_sealed:
        seal(log, LATER)
    start = NOW + timedelta(days=1, minutes=4)
    found = list(lines_in(log, TimeRange(start, start + timedelta(days=1))))
    whole = content(log).splitlines(keepends=True)
    expected = [line for line in whole if b"2010-12-02T09:04" <= line < b"2010-12-03T09:04"]
    assert [line.record for line in found] == expected
    assert len(found) == 20
    plain = EventLog(tmp_path)
    for line in found:
        with plain.open_segment(line.segment) as file:
            assert file.read().splitlines(keepends=True)[line.number - 1] == line.record


def test_a_byte_that_changed_is_found_and_never_read_as_if_it_were_right(tmp_path: Path) -> None:
    log = filled(tmp_path)
    seal(log, LATER)
    [pack] = (tmp_path / "sealed").iterdir()
    data = bytearray(pack.read_bytes())
    data[len(data) // 2] ^= 1
    pack.write_bytes(data)
    assert verify(log)[0].place == "sealed/000001.zst"
    assert len(verify(log)) == 2
    with pytest.raises(EventLogDamagedError, match="Restore that file from its copy"):
        content(log)


def test_a_byte_that_no_segment_needs_is_checked_too(tmp_path: Path) -> None:
    log = filled(tmp_path)
    seal(log, LATER)
    [pack] = (tmp_path / "sealed").iterdir()
    pack.write_bytes(pack.read_bytes() + b"x")
    assert [each.place for each in verify(log)] == ["sealed/000001.zst"]


@pytest.mark.parametrize("is_sealed", [False, True])
def test_a_line_that_is_no_record_belongs_to_the_time_of_the_line_before(
    tmp_path: Path, is_sealed: bool
) -> None:
    log = EventLog(tmp_path)
    log.append([Record(NOW, "web", b"{}")])
    with (tmp_path / "2010-12-01" / "000001.log").open("ab") as file:
        file.write(b"no record\n")
    log.append([Record(NOW + timedelta(hours=2), "web", b"{}")])
    if is_sealed:
        seal(log, LATER)
    ranges = [(NOW + timedelta(hours=hour), NOW + timedelta(hours=hour + 1)) for hour in range(4)]
    assert [[line.number for line in lines_in(log, TimeRange(*each))] for each in ranges] == [
        [1, 2],
        [],
        [3],
        [],
    ]


def test_a_pack_that_is_gone_and_a_manifest_that_is_no_manifest_are_named(tmp_path: Path) -> None:
    log = filled(tmp_path)
    seal(log, LATER)
    shutil.move(tmp_path / "sealed", tmp_path / "elsewhere")
    with pytest.raises(EventLogDamagedError, match=r"sealed/000001\.zst is not there, expected"):
        content(log)
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(EventLogDamagedError, match="restore it from its copy"):
        EventLog(tmp_path).segments()


def test_sealed_segments_may_live_wherever_fsspec_reaches(tmp_path: Path) -> None:
    log = filled(tmp_path / "log")
    before = content(log)
    url = "memory://events/sealed"
    seal(log, LATER, archive_url=url)
    assert list((tmp_path / "log" / "sealed").iterdir()) == []
    assert fsspec.filesystem("memory").exists("events/sealed/000001.zst")
    assert content(log) == before
    assert verify(log) == []
    fsspec.filesystem("memory").rm("events", recursive=True)
    with pytest.raises(EventLogDamagedError, match=r"memory://events/sealed/000001[.]zst is not there"):
        content(log)


def test_an_archive_that_cannot_be_reached_leaves_everything_on_the_disk(tmp_path: Path) -> None:
    log = filled(tmp_path)
    before = content(log)
    with pytest.raises(TransientIngestionError, match="CDP_EVENT_LOG_ARCHIVE_URL"):
        seal(log, LATER, archive_url="nosuchprotocol://events")
    assert (content(log), log.sealed().segments) == (before, {})


def test_many_small_packs_become_one(tmp_path: Path) -> None:
    log = filled(tmp_path, days=12)
    before = content(log)
    for day in range(12):
        seal(log, NOW + timedelta(days=day + 2, hours=20))
    assert len(log.sealed().packs) > 8
    reader = EventLog(tmp_path)
    assert content(reader) == before
    assert compact(log, LATER) > 8
    assert len(list((tmp_path / "sealed").iterdir())) == len(log.sealed().packs) == 1
    assert (content(log), content(reader), verify(log)) == (before, before, [])
    assert compact(log, LATER) == 0


def test_appends_go_on_while_others_seal(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_append_old, args=(tmp_path, name)) for name in (b"a", b"b")]
    sealers = [context.Process(target=_seal_often, args=(tmp_path,)) for _ in range(2)]
    for worker in (*sealers, *writers):
        worker.start()
    for writer in writers:
        writer.join()
    (tmp_path / "done").touch()
    for sealer in sealers:
        sealer.join()
    assert [worker.exitcode for worker in (*writers, *sealers)] == [0] * 4
    log = EventLog(tmp_path)
    found = sorted(line.rpartition(b"\t")[2] for line in content(log).splitlines())
    assert found == sorted(b"%b%d" % (name, n) for name in (b"a", b"b") for n in range(60))
    assert log.sealed().segments
    assert verify(log) == []


def _append_old(root: Path, name: bytes) -> None:
    for number in range(60):
        EventLog(root, segment_bytes=300).append([Record(NOW, "web", name + b"%d" % number)])


def _seal_often(root: Path) -> None:
    log = EventLog(root)
    end = time.monotonic() + 60
    while not (root / "done").exists() and time.monotonic() < end:
        seal(log, LATER)
        compact(log, LATER)
    seal(log, LATER)


def test_no_room_for_a_pack_is_one_clear_error_and_loses_nothing(tmp_path: Path) -> None:
    script = """
import resource, signal, sys, os
from pathlib import Path
from datetime import UTC, datetime
from ingestion.errors import EventLogFullError
from ingestion.event_log import EventLog
from ingestion.records import Record
from ingestion.sealing import seal
log = EventLog(Path(sys.argv[1]))
at = datetime(2010, 12, 1, 9, tzinfo=UTC)
log.append(Record(at, "web", os.urandom(50).hex().encode()) for _ in range(30_000))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
try:
    seal(log, datetime(2026, 1, 1, tzinfo=UTC))
except EventLogFullError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert "no room to seal" in done.stdout
    log = EventLog(tmp_path)
    assert content(log).count(b"\n") == 30_000
    assert list((tmp_path / "sealed").iterdir()) == []
    assert seal(log, LATER).segments == 1


def killed_at(root: Path, at: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.ingestion.seal_child", str(root), str(at)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def sealed_after_kill(template: Path, root: Path, at: int) -> None:
    shutil.copytree(template, root)
    before = content(EventLog(template))
    assert killed_at(root, at).returncode == -9
    log = EventLog(root, segment_bytes=500)
    assert content(log) == before, at
    log.append([Record(NOW, "web", b"after")])
    assert content(log).count(b"\n") == before.count(b"\n") + 1, at
    seal(log, LATER)
    compact(log, LATER)
    assert content(log).count(b"\n") == before.count(b"\n") + 1, at
    assert verify(log) == []
    packs = {path.name for path in (root / "sealed").iterdir()}
    assert packs == set(json.loads((root / "manifest.json").read_bytes())["packs"])


def points(tmp_path: Path) -> tuple[Path, int]:
    template = tmp_path / "template"
    filled(template, days=6, lines=8)
    for day in range(3):
        seal(EventLog(template), NOW + timedelta(days=day + 2, hours=20))
    whole = Path(shutil.copytree(template, tmp_path / "whole"))
    return template, int(killed_at(whole, 0).stdout)


@pytest.mark.parametrize("part", range(6))
def test_killed_at_any_point_every_line_is_there_once(tmp_path: Path, part: int) -> None:
    template, count = points(tmp_path)
    sealed_after_kill(template, tmp_path / "killed", 1 + (count - 1) * part // 5)


@pytest.mark.long
def test_killed_at_every_file_operation_every_line_is_there_once(tmp_path: Path) -> None:
    template, count = points(tmp_path)
    for at in range(1, count + 1):
        sealed_after_kill(template, tmp_path / f"killed-{at}", at)
    print(f"sealing killed at each of {count} file operations: nothing lost, nothing doubled")  # noqa: T201
