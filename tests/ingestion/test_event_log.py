"""The event log keeps everything it confirmed, and nothing else."""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest

from ingestion.errors import EventLogDamagedError, RejectedInputError
from ingestion.event_log import EventLog, Slice
from ingestion.records import Record, split_record
from tests.ingestion.messages import NOW


def records(*raws: bytes, at: datetime = NOW) -> list[Record]:
    return [Record(at, "web", raw) for raw in raws]


def everything(log: EventLog, read_to: dict[str, int] | None = None, **limits: int) -> bytes:
    return b"".join(log.read(part) for batch in log.unread(read_to or {}, **limits) for part in batch.slices)


def test_a_record_is_one_line_with_time_source_and_the_message_verbatim(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    result = log.append(records(b'{"a":\t1}\r'))
    assert (tmp_path / "2010-12-01" / "000001.log").read_bytes() == (
        b'2010-12-01T09:00:00.000Z\tweb\t{"a":\t1}\r\n'
    )
    assert (result.count, result.segments) == (1, ("2010-12-01/000001.log",))


def test_the_day_of_a_segment_is_the_day_of_receipt_in_utc(tmp_path: Path) -> None:
    late = datetime.fromisoformat("2010-12-02T00:30:00+02:00")
    assert EventLog(tmp_path).append(records(b"{}", at=late)).segments == ("2010-12-01/000001.log",)


@pytest.mark.parametrize(
    ("record", "complaint"),
    [
        (Record(NOW, "web", b"a\nb"), "line feed"),
        (Record(NOW, "We\tb", b"a"), "Source name"),
        (Record(NOW.replace(tzinfo=None), "web", b"a"), "time zone"),
    ],
)
def test_a_record_that_cannot_be_a_line_is_refused_and_nothing_of_the_append_is_kept(
    tmp_path: Path, record: Record, complaint: str
) -> None:
    log = EventLog(tmp_path)
    with pytest.raises(RejectedInputError, match=complaint):
        log.append([*records(b"before"), record])
    assert everything(log) == b""


def test_an_append_whose_records_fail_on_the_way_leaves_the_log_as_it_was(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    log.append(records(b"kept"))
    before = everything(log)

    def failing() -> Iterator[Record]:
        yield from records(b"x" * 3_000_000, b"y" * 3_000_000)
        raise ConnectionError("the sender went away")

    with pytest.raises(ConnectionError):
        log.append(failing())
    assert everything(log) == before


def test_a_torn_tail_is_never_read_and_never_written_to_again(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    log.append(records(b"whole"))
    segment = tmp_path / "2010-12-01" / "000001.log"
    with segment.open("ab") as file:
        file.write(b"2010-12-01T09:00:00.000Z\tweb\t{torn")
    assert everything(log).endswith(b"whole\n")
    assert log.append(records(b"next")).segments == ("2010-12-01/000002.log",)
    assert [line.rpartition(b"\t")[2] for line in everything(log).splitlines()] == [b"whole", b"next"]


def test_a_segment_that_is_full_is_followed_by_another(tmp_path: Path) -> None:
    log = EventLog(tmp_path, segment_bytes=100)
    for number in range(5):
        log.append(records(b"%030d" % number))
    assert list(log.segments()) == [f"2010-12-01/{number:06d}.log" for number in (1, 2, 3)]
    assert len(everything(log).splitlines()) == 5


def test_a_full_disk_is_one_clear_error_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    """The file size limit of a process stands for the full disk: the write fails in the middle of a line."""
    script = """
import resource, signal, sys
from pathlib import Path
from datetime import UTC, datetime
from ingestion.errors import EventLogFullError
from ingestion.event_log import EventLog
from ingestion.records import Record
log = EventLog(Path(sys.argv[1]))
at = datetime(2010, 12, 1, 9, tzinfo=UTC)
log.append([Record(at, "web", b"kept")])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, 1_500_000))
try:
    log.append(Record(at, "web", b"x" * 1000) for _ in range(5000))
except EventLogFullError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert "is full" in done.stdout
    assert "nothing of this append was kept" in done.stdout
    assert everything(EventLog(tmp_path)) == b"2010-12-01T09:00:00.000Z\tweb\tkept\n"


def test_reading_goes_on_where_the_last_read_ended(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    log.append(records(b"one", b"two"))
    read_to = log.segments()
    log.append(records(b"three"))
    (batch,) = log.unread(read_to)
    (part,) = batch.slices
    assert (part.first_line, part.last_line) == (3, 3)
    assert log.read(part).endswith(b"three\n")


@pytest.mark.parametrize("limits", [{"max_bytes": 100}, {"max_lines": 3}, {"max_bytes": 1}, {}])
def test_batches_of_any_size_hold_every_line_once_and_in_order(
    tmp_path: Path, limits: dict[str, int]
) -> None:
    log = EventLog(tmp_path, segment_bytes=500)
    for day in range(3):
        log.append(records(*(b"%d" % n * (n % 7 + 1) for n in range(20)), at=NOW + timedelta(days=day)))
    whole = b"".join((tmp_path / name).read_bytes() for name in log.segments())
    assert everything(log, **limits) == whole
    for batch in log.unread({}, **limits):
        assert len({part.segment for part in batch.slices}) == len(batch.slices)
        assert batch.lines == sum(log.read(part).count(b"\n") for part in batch.slices)


def test_a_segment_that_became_shorter_stops_the_reading(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    log.append(records(b"one"))
    with pytest.raises(EventLogDamagedError, match="restore the segment"):
        list(log.unread({"2010-12-01/000001.log": 10_000}))


def test_two_processes_on_one_log_lose_and_mix_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_append_many, args=(tmp_path, name)) for name in ("a", "b")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    found = sorted(line.rpartition(b"\t")[2] for line in everything(EventLog(tmp_path)).splitlines())
    assert found == sorted(b"%b%d" % (name, n) for name in (b"a", b"b") for n in range(50))


def _append_many(root: Path, name: str) -> None:
    log = EventLog(root)
    for number in range(50):
        log.append(records(name.encode() + b"%d" % number))


def test_an_archive_is_appended_at_the_time_of_receipt_of_each_message(tmp_path: Path) -> None:
    archive = tmp_path / "archive.jsonl"
    archive.write_bytes(
        b'{"receivedAt":"2010-01-01T00:00:00.000Z"}\nnot json\n\n'
        b'{"receivedAt":"2010-01-02T01:00:00.5+01:00"}\n{"receivedAt":7}'
    )
    log = EventLog(tmp_path / "log")
    result = log.import_archive(archive, "web", now=NOW)
    assert (result.count, result.already_imported) == (5, False)
    assert [line.split(b"\t") for line in everything(log).splitlines()] == [
        [b"2010-01-01T00:00:00.000Z", b"web", b'{"receivedAt":"2010-01-01T00:00:00.000Z"}'],
        [b"2010-01-01T00:00:00.000Z", b"web", b"not json"],
        [b"2010-01-01T00:00:00.000Z", b"web", b""],
        [b"2010-01-02T00:00:00.500Z", b"web", b'{"receivedAt":"2010-01-02T01:00:00.5+01:00"}'],
        [b"2010-01-02T00:00:00.500Z", b"web", b'{"receivedAt":7}'],
    ]


def test_the_same_archive_is_imported_once_whatever_its_name(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "log")
    for name in ("first.jsonl", "renamed.jsonl"):
        (tmp_path / name).write_bytes(b'{"receivedAt":"2010-01-01T00:00:00.000Z"}\n')
    assert not log.import_archive(tmp_path / "first.jsonl", "web", now=NOW).already_imported
    again = log.import_archive(tmp_path / "renamed.jsonl", "web", now=NOW)
    assert (again.already_imported, again.count) == (True, 0)
    assert everything(log).count(b"\n") == 1


def test_lines_before_the_first_time_take_that_time_or_the_one_given(tmp_path: Path) -> None:
    archive = tmp_path / "archive.jsonl"
    archive.write_bytes(b'early\n{"receivedAt":"2010-01-01T00:00:00.000Z"}\n')
    first, given = EventLog(tmp_path / "first"), EventLog(tmp_path / "given")
    first.import_archive(archive, "web", now=NOW)
    given.import_archive(archive, "web", now=NOW, received_at=datetime(2009, 5, 5, tzinfo=UTC))
    assert everything(first).startswith(b"2010-01-01T00:00:00.000Z\tweb\tearly\n")
    assert everything(given).startswith(b"2009-05-05T00:00:00.000Z\tweb\tearly\n")


def test_an_archive_without_any_time_of_receipt_asks_for_one(tmp_path: Path) -> None:
    archive = tmp_path / "archive.jsonl"
    archive.write_bytes(b"{}\n")
    with pytest.raises(RejectedInputError, match="say when they were received"):
        EventLog(tmp_path / "log").import_archive(archive, "web", now=NOW)


@pytest.mark.parametrize(
    "given",
    [
        "2010-W48-3T08:26:00.000Z",
        "2010-12-01\n08:26:00.000Z",
        "2010-12-01\t08:26:00.000Z",
        "9999-12-31T00:00:00.000Z",
        "2010-12-02T09:00:00.001Z",
    ],
)
def test_an_archive_writes_only_times_of_records_and_none_to_come(tmp_path: Path, given: str) -> None:
    archive = tmp_path / "archive.jsonl"
    lines = [orjson.dumps({"receivedAt": each}) for each in ("2010-01-01T00:00:00.000Z", given)]
    archive.write_bytes(b"\n".join(lines))
    log = EventLog(tmp_path / "log")
    log.import_archive(archive, "web", now=NOW)
    found = [split_record(line) for line in everything(log).split(b"\n")[:-1]]
    assert [parts.raw for parts in found if parts] == lines
    assert all(parts.received_at <= NOW for parts in found if parts)


@pytest.mark.parametrize("next_one", [b"x", b"z" * 30, b"later" * 20])
def test_a_cut_into_what_was_read_hides_nothing_that_comes_after(tmp_path: Path, next_one: bytes) -> None:
    log = EventLog(tmp_path)
    log.append(records(b"first", b"y" * 30))
    segment = tmp_path / "2010-12-01" / "000001.log"
    read_to = {"2010-12-01/000001.log": segment.stat().st_size}
    os.truncate(segment, segment.stat().st_size - 20)
    log.append(records(next_one))
    assert log.read(Slice("2010-12-01/000002.log", 1, 1, 0, 1000)).endswith(next_one + b"\n")
    with pytest.raises(EventLogDamagedError, match="restore the segment"):
        list(log.unread(read_to))


@pytest.mark.parametrize("tail", [b"", b"torn"])
def test_taking_an_append_back_leaves_the_full_or_torn_segment_before_it(tmp_path: Path, tail: bytes) -> None:
    log = EventLog(tmp_path, segment_bytes=10_000 if tail else 10)
    log.append(records(b"kept"))
    segment = tmp_path / "2010-12-01" / "000001.log"
    with segment.open("ab") as file:
        file.write(tail)
    before = segment.read_bytes()

    def failing() -> Iterator[Record]:
        yield from records(b"x" * 2_000_000)
        raise ConnectionError("the sender went away")

    with pytest.raises(ConnectionError):
        log.append(failing())
    assert segment.read_bytes() == before
    assert [path.name for path in segment.parent.iterdir()] == ["000001.log"]


def test_a_segment_that_was_rewritten_is_not_read_on_in_the_middle_of_a_line(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    log.append(records(b"first", b"second"))
    segment = tmp_path / "2010-12-01" / "000001.log"
    read_to = {"2010-12-01/000001.log": segment.stat().st_size}
    os.truncate(segment, len(b"2010-12-01T09:00:00.000Z\tweb\tfirst\n"))
    log.append(records(b"another", b"and one more"))
    with pytest.raises(EventLogDamagedError, match="no line ends there now"):
        list(log.unread(read_to))
