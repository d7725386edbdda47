"""Segment files: writing lines to them in a way that can be taken back, and reading whole lines."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_BLOCK = 1024 * 1024
_BUFFERED = 16 * 1024 * 1024
_OPEN_FILES = 32
# In a day's folder: the highest number that was sealed. Appends go to segments after it.
SEALED_UP_TO = "sealed_up_to"


@dataclass(frozen=True)
class AppendResult:
    """What one append made durable; `healed_bytes` is the torn tail it removed first."""

    count: int
    bytes: int
    segments: tuple[str, ...]
    healed_bytes: int = 0


class Append:
    """One append in progress: remembers each file's former length so that it can be taken back."""

    def __init__(self, root: Path, segment_bytes: int) -> None:
        self._root = root
        self._segment_bytes = segment_bytes
        self._former: dict[Path, int | None] = {}
        self._open: dict[str, tuple[Path, int, int]] = {}  # day -> path, descriptor, length
        self._touched: list[Path] = []
        self._buffers: dict[str, bytearray] = {}
        self._count = self._bytes = self._healed = self._buffered = 0

    def write(self, day: str, line: bytes) -> None:
        """Take one whole line for the segment of the day."""
        buffer = self._buffers.setdefault(day, bytearray())
        buffer += line
        self._count += 1
        self._bytes += len(line)
        self._buffered += len(line)
        if len(buffer) >= _BLOCK:
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
        return AppendResult(self._count, self._bytes, names, self._healed)

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
        buffer = self._buffers[day]
        if not buffer:
            return
        if day not in self._open:
            self._enter(day)
        _path, descriptor, length = self._open[day]
        view = memoryview(buffer)
        while view:
            written = os.write(descriptor, view)
            view = view[written:]
        view.release()
        self._open[day] = (_path, descriptor, length + len(buffer))
        self._buffers[day] = bytearray()
        self._buffered -= len(buffer)
        if len(self._open) > _OPEN_FILES or length + len(buffer) >= self._segment_bytes:
            self._close(day)

    def _enter(self, day: str) -> None:
        folder = self._root / day
        folder.mkdir(parents=True, exist_ok=True)
        sealed = sealed_up_to(folder)
        existing = [each for each in sorted(folder.glob("??????.log")) if int(each.stem) > sealed]
        path = existing[-1] if existing else folder / f"{sealed + 1:06d}.log"
        if existing and path not in self._former:
            size, whole = path.stat().st_size, whole_lines_end(path)
            if whole < size:
                os.truncate(path, whole)
                self._healed += size - whole
        if existing and path.stat().st_size >= self._segment_bytes:
            path = folder / f"{int(path.stem) + 1:06d}.log"
        if path not in self._former:
            self._former[path] = path.stat().st_size if path.exists() else None
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._touched.append(path)
        self._open[day] = (path, descriptor, path.stat().st_size)

    def _close(self, day: str) -> None:
        if day in self._open:
            _path, descriptor, _length = self._open.pop(day)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


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
