"""Segment files: writing lines to them in a way that can be taken back, and reading whole lines."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ingestion.records import DayLines

_BLOCK = 1024 * 1024
_BUFFERED = 16 * 1024 * 1024
_OPEN_FILES = 32
_SEGMENT = re.compile(r"\d{6}\.log", re.ASCII)
# In a day's folder: the highest number that was sealed. Appends go to segments after it.
SEALED_UP_TO = "sealed_up_to"


@dataclass(frozen=True)
class AppendResult:
    """What one append made durable."""

    count: int
    bytes: int
    segments: tuple[str, ...]


class Append:
    """One append in progress: remembers each file's former length so that it can be taken back."""

    def __init__(self, root: Path, segment_bytes: int) -> None:
        self._root = root
        self._segment_bytes = segment_bytes
        self._former: dict[Path, int | None] = {}
        self._open: dict[str, tuple[Path, int, int]] = {}  # day -> path, descriptor, length
        self._touched: list[Path] = []
        self._buffers: dict[str, list[bytes]] = {}
        self._sizes: dict[str, int] = {}
        self._count = self._bytes = self._buffered = 0

    def write(self, lines: DayLines) -> None:
        """Take whole lines for the segment of their day."""
        day, data, count = lines
        self._buffers.setdefault(day, []).append(data)
        self._sizes[day] = self._sizes.get(day, 0) + len(data)
        self._count += count
        self._bytes += len(data)
        self._buffered += len(data)
        if self._sizes[day] >= _BLOCK:
            self._flush(day)
        elif self._buffered >= _BUFFERED:
            for waiting in list(self._buffers):
                self._flush(waiting)

    def finish(self) -> AppendResult:
        """Return once every line is on the disk."""
        for day in list(self._buffers):
            self._flush(day)
            self._close(day)
        for folder in {path.parent for path in self._touched if self._former[path] is None}:
            sync_folder(folder)
            sync_folder(folder.parent)
        names = tuple(f"{path.parent.name}/{path.name}" for path in sorted(set(self._touched)))
        return AppendResult(self._count, self._bytes, names)

    def take_back(self) -> None:
        """Give every file its former length and remove the new ones."""
        for day in list(self._open):
            descriptor = self._open.pop(day)[1]
            os.close(descriptor)
        for path, length in self._former.items():
            if length is None:
                path.unlink(missing_ok=True)
            else:
                os.truncate(path, length)

    def _flush(self, day: str) -> None:
        data = b"".join(self._buffers[day])
        if not data:
            return
        if day not in self._open:
            self._enter(day)
        path, descriptor, length = self._open[day]
        view = memoryview(data)
        while view:
            written = os.write(descriptor, view)
            view = view[written:]
        length += len(data)
        self._open[day] = (path, descriptor, length)
        self._buffers[day], self._sizes[day] = [], 0
        self._buffered -= len(data)
        if len(self._open) > _OPEN_FILES or length >= self._segment_bytes:
            self._close(day)

    def _enter(self, day: str) -> None:
        """Open the segment that the lines of a day go to now: its last, or a new one behind it."""
        folder = self._root / day
        names = _names(folder)
        sealed = sealed_up_to(folder) if SEALED_UP_TO in names else 0
        numbers = [int(name[:6]) for name in names if _SEGMENT.fullmatch(name)]
        number = max((each for each in numbers if each > sealed), default=0)
        path = folder / f"{number:06d}.log"
        found = self._reopened(path) if number else None
        if found is None:
            path = folder / f"{(number or sealed) + 1:06d}.log"
            self._former[path] = None
            found = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644), 0
        else:
            self._former.setdefault(path, found[1])
        self._touched.append(path)
        self._open[day] = (path, *found)

    def _reopened(self, path: Path) -> tuple[int, int] | None:
        """Descriptor and length of a segment that may take more lines; nothing for one that is full or torn.

        What is torn is never written to again: had a line of it been read already, another would take its
        place.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND)
        size = os.fstat(descriptor).st_size
        if size >= self._segment_bytes or (size and os.pread(descriptor, 1, size - 1) != b"\n"):
            os.close(descriptor)
            return None
        return descriptor, size

    def _close(self, day: str) -> None:
        if day in self._open:
            _path, descriptor, _length = self._open.pop(day)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _names(folder: Path) -> list[str]:
    """What is in the folder of a day, which is made when it is not there."""
    try:
        return os.listdir(folder)  # noqa: PTH208 (it runs at every commit of the collector)
    except FileNotFoundError:
        folder.mkdir(parents=True, exist_ok=True)
        return []


def sealed_up_to(folder: Path) -> int:
    """The highest number of a segment of this day that is sealed; 0 when none is."""
    try:
        return int((folder / SEALED_UP_TO).read_text())
    except FileNotFoundError:
        return 0


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def whole_lines_end(path: Path) -> int:
    """The byte after the last line feed of a file: what follows it is a torn tail."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - 1))
        if file.read(1) == b"\n":
            return end
        while end > 0:
            start = max(0, end - _BLOCK)
            file.seek(start)
            at = file.read(end - start).rfind(b"\n")
            if at >= 0:
                return start + at + 1
            end = start
    return 0


def count_lines(file: BinaryIO, end: int) -> int:
    """How many lines end before byte `end`."""
    lines = 0
    file.seek(0)
    while end > 0:
        block = file.read(min(_BLOCK, end))
        lines += block.count(b"\n")
        end -= len(block)
    return lines


def measure_lines(
    file: BinaryIO, start: int, end: int, room: int, most: int, *, at_least_one: bool
) -> tuple[int, int]:
    """How many bytes and lines of whole lines begin at `start`, within `room` bytes and `most` lines."""
    file.seek(start)
    data = file.read(min(room, end - start))
    if start + len(data) < end and not data.endswith(b"\n"):
        cut = data.rfind(b"\n") + 1
        if not cut and not at_least_one:
            return 0, 0
        while not cut:
            data += file.read(min(_BLOCK, end - start - len(data)))
            cut = data.find(b"\n") + 1
        data = data[:cut]
    lines = data.count(b"\n")
    if lines > most:
        size = 0
        for _ in range(most):
            size = data.index(b"\n", size) + 1
        return size, most
    return len(data), lines
