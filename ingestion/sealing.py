"""Seals the segments of an event log that nobody writes any more, packs small packs together, verifies them.

A pack is written, synced and read back before the manifest names it; the manifest names it before the plain
files go. Killed anywhere, every segment can be read, and the next call clears what was left.
"""

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import fsspec

from ingestion.errors import EventLogDamagedError, EventLogFullError, TransientIngestionError
from ingestion.event_log import EventLog
from ingestion.records import format_time
from ingestion.sealed_segments import (
    Manifest,
    Pack,
    PackWriter,
    SealedSegment,
    checksum_of,
    content_checksum,
    open_pack,
    read_manifest,
    write_manifest,
)
from ingestion.segments import SEALED_UP_TO, sync_folder, whole_lines_end

# A segment's day must be over for so long: senders' clocks do not matter, ours and its time zone do.
REST = timedelta(days=1)
PACK_BYTES = 256 * 1024 * 1024
SMALL_PACKS = 8
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True)
class SealReport:
    """What one call sealed; bytes before and after."""

    segments: int = 0
    bytes: int = 0
    stored_bytes: int = 0


@dataclass(frozen=True)
class Damage:
    """One thing that is not as the manifest says."""

    place: str
    expected: str
    found: str


def seal(
    log: EventLog, now: datetime, *, archive_url: str | None = None, pack_bytes: int = PACK_BYTES
) -> SealReport:
    """Seal every segment that is full, or whose day has been over for a day; appends go on meanwhile.

    Packs are kept below the log, or at `archive_url` (any that fsspec knows). Raises EventLogFullError
    when there is no room for a pack; then everything is as it was. While another process seals, it does
    nothing.
    """
    report = SealReport()
    with log.only_sealer() as is_alone:
        if not is_alone:
            return report
        _clear(log)
        group: list[tuple[str, int]] = []
        for name, size in [*_closed(log, now), ("", 0)]:
            if group and (not name or sum(each for _, each in group) + size > pack_bytes):
                report = _seal_group(log, group, now, archive_url, report)
                group = []
            group.append((name, size))
    return report


def compact(log: EventLog, now: datetime, *, archive_url: str | None = None) -> int:
    """Bring small packs together, frames as they are, once there are many; returns how many went."""
    with log.only_sealer() as is_alone:
        return _compact(log, now, archive_url) if is_alone else 0


def _compact(log: EventLog, now: datetime, archive_url: str | None) -> int:
    manifest = read_manifest(log.root)
    small = [name for name, pack in manifest.packs.items() if pack.bytes < PACK_BYTES // 8]
    if len(small) < SMALL_PACKS:
        return 0
    kept = [each for each in manifest.segments.values() if each.pack in small]

    def write(writer: PackWriter) -> Iterator[SealedSegment]:
        for segment in kept:
            with open_pack(log.root, manifest.packs[segment.pack]) as stored:
                yield writer.add_sealed(segment, stored)

    name, pack, moved = _write_pack(log, now, archive_url, write)
    with log.locked_for_writing():
        current = read_manifest(log.root)
        packs = {each: entry for each, entry in current.packs.items() if each not in small}
        write_manifest(log.root, Manifest({**current.segments, **moved}, {**packs, name: pack}))
    for each in small:
        _remove(log.root, manifest.packs[each])
    return len(small)


def verify(log: EventLog) -> list[Damage]:
    """Read every stored and every sealed byte again; returns what is missing or not what it was."""
    manifest = read_manifest(log.root)
    found = []
    for pack in manifest.packs.values():
        try:
            with open_pack(log.root, pack) as stored:
                checksum = checksum_of(stored)
        except EventLogDamagedError as error:
            checksum = str(error)
        if checksum != pack.sha256:
            found.append(Damage(pack.address, pack.sha256, checksum))
    for segment in manifest.segments.values():
        try:
            checksum = content_checksum(log.root, manifest, segment)
        except EventLogDamagedError as error:
            found.append(Damage(segment.name, segment.sha256, str(error)))
            continue
        if checksum != segment.sha256:
            found.append(Damage(segment.name, segment.sha256, checksum))
    return found


def _closed(log: EventLog, now: datetime) -> list[tuple[str, int]]:
    """Plain segments that no append will touch again, but for one that brings an old day more."""
    last_day = (now - REST).date() - timedelta(days=1)
    with log.locked_for_writing():
        names = log.plain_segments()
        newest = {name.split("/")[0]: name for name in names}
        return [
            (name, whole_lines_end(log.root / name))
            for name in names
            if newest[name.split("/")[0]] != name or date.fromisoformat(name.split("/")[0]) <= last_day
        ]


def _seal_group(
    log: EventLog,
    group: list[tuple[str, int]],
    now: datetime,
    archive_url: str | None,
    report: SealReport,
) -> SealReport:
    def write(writer: PackWriter) -> Iterator[SealedSegment]:
        for name, size in group:
            with (log.root / name).open("rb") as plain:
                yield writer.add_plain(name, plain, size)

    pack_name, pack, sealed = _write_pack(log, now, archive_url, write)
    with log.locked_for_writing():
        # What an append brought to an old day meanwhile is not in the pack: that segment stays plain.
        still = {
            name: segment
            for name, segment in sealed.items()
            if whole_lines_end(log.root / name) == segment.bytes
        }
        current = read_manifest(log.root)
        if still:
            for name in still:
                _note_sealed(log.root, name)
            manifest = Manifest({**current.segments, **still}, {**current.packs, pack_name: pack})
            write_manifest(log.root, manifest)
            _unlink_plain(log.root, list(still))
    if not still:
        _remove(log.root, pack)
        return report
    return SealReport(
        report.segments + len(still),
        report.bytes + sum(segment.bytes for segment in still.values()),
        report.stored_bytes + pack.bytes,
    )


def _write_pack(
    log: EventLog,
    now: datetime,
    archive_url: str | None,
    write: Callable[[PackWriter], Iterator[SealedSegment]],
) -> tuple[str, Pack, dict[str, SealedSegment]]:
    """A pack that is durable and was read back; no manifest names it yet."""
    folder = log.root / "sealed"
    folder.mkdir(parents=True, exist_ok=True)
    taken = {*read_manifest(log.root).packs, *(path.name for path in folder.iterdir())}
    number = 1 + max((int(name[:6]) for name in taken if name[:6].isdigit()), default=0)
    name = f"{number:06d}.zst"
    path = folder / name
    try:
        with path.open("xb") as file:
            writer = PackWriter(file, name, format_time(now))
            segments = {segment.name: segment for segment in write(writer)}
            file.flush()
            os.fsync(file.fileno())
        sync_folder(folder)
        pack = writer.finish(f"sealed/{name}")
        if archive_url is not None:
            pack = _carried_away(path, pack, f"{archive_url.rstrip('/')}/{name}")
        _read_back(log.root, name, pack, segments)
    except OSError as error:
        path.unlink(missing_ok=True)
        if error.errno in _FULL:
            raise EventLogFullError(
                f"There is no room to seal segments at {folder} ({os.strerror(error.errno or 0)}); "
                "they stay as they are. Free space; the next run seals them."
            ) from error
        raise
    if archive_url is not None:
        path.unlink()
    return name, pack, segments


def _carried_away(path: Path, pack: Pack, url: str) -> Pack:
    try:
        with path.open("rb") as source, fsspec.open(url, "wb") as target:
            while piece := source.read(1024 * 1024):
                target.write(piece)
    except Exception as error:
        path.unlink(missing_ok=True)
        raise TransientIngestionError(
            f"Sealed segments could not be stored at {url} ({type(error).__name__}); they stay on this disk "
            "until the next run. Check CDP_EVENT_LOG_ARCHIVE_URL and what it needs."
        ) from error
    return Pack(url, pack.bytes, pack.sha256)


def _read_back(root: Path, name: str, pack: Pack, segments: dict[str, SealedSegment]) -> None:
    manifest = Manifest(segments, {name: pack})
    for segment in segments.values():
        if content_checksum(root, manifest, segment) != segment.sha256:
            raise EventLogDamagedError(
                f"{pack.address} does not give back segment {segment.name} as it was written; nothing was "
                "removed. Check the disk."
            )


def _note_sealed(root: Path, name: str) -> None:
    """So that an append to the day begins a segment after it, without reading the manifest."""
    day, number = name.split("/")
    path = root / day / SEALED_UP_TO
    sealed = int(path.read_text()) if path.exists() else 0
    if int(number[:6]) > sealed:
        draft = path.with_suffix(".new")
        with draft.open("w") as file:
            file.write(str(int(number[:6])))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        sync_folder(path.parent)


def _clear(log: EventLog) -> None:
    """Remove what a killed call left: plain files that are sealed, and packs that no manifest names."""
    with log.locked_for_writing():
        manifest = read_manifest(log.root)
        _unlink_plain(log.root, [name for name in manifest.segments if (log.root / name).exists()])
        folder = log.root / "sealed"
        for path in folder.iterdir() if folder.exists() else ():
            if path.name not in manifest.packs or "://" in manifest.packs[path.name].address:
                path.unlink()


def _unlink_plain(root: Path, names: list[str]) -> None:
    for name in names:
        (root / name).unlink(missing_ok=True)
    for folder in {(root / name).parent for name in names}:
        sync_folder(folder)


def _remove(root: Path, pack: Pack) -> None:
    if "://" in pack.address:
        files, path = fsspec.core.url_to_fs(pack.address)
        if files.exists(path):
            files.rm_file(path)
    else:
        (root / pack.address).unlink(missing_ok=True)
