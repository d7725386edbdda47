"""Segments that are closed: compressed, checksummed, listed in a manifest, and read as if they were plain.

A pack is one stored file with the zstd frames of many segments; the manifest says where each segment's
frames stand. Names, line numbers and byte offsets of a segment never change by it. See
docs/decisions/0013-sealed-segments.md.
"""

import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import fsspec
import orjson
import zstandard

from ingestion.errors import EventLogDamagedError
from ingestion.records import TIME_CHARACTERS
from ingestion.segments import sync_folder

MANIFEST = "manifest.json"
FRAME_BYTES = 4 * 1024 * 1024
_LEVEL = 3


class Frame(NamedTuple):
    """A piece of a segment: where it begins in the segment, and where its frame stands in the pack."""

    start: int
    bytes: int
    stored_at: int
    stored_bytes: int


@dataclass(frozen=True)
class SealedSegment:
    """A segment as the manifest knows it; bytes, lines and sha256 are those of its plain content."""

    name: str
    pack: str
    bytes: int
    lines: int
    sha256: str
    first_received_at: str
    last_received_at: str
    frames: tuple[Frame, ...]
    sealed_at: str


@dataclass(frozen=True)
class Pack:
    """A stored file: its address (any that fsspec knows, or a path below the log), size and checksum."""

    address: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """Every sealed segment and every pack, by name."""

    segments: dict[str, SealedSegment] = field(default_factory=dict)
    packs: dict[str, Pack] = field(default_factory=dict)


def read_manifest(root: Path) -> Manifest:
    """The manifest of a log; an empty one when nothing was sealed yet.

    Raises EventLogDamagedError when it cannot be read: to go on would be to lose what was sealed.
    """
    path = root / MANIFEST
    try:
        content = orjson.loads(path.read_bytes())
        segments = {
            name: SealedSegment(**{**entry, "frames": tuple(Frame(*frame) for frame in entry["frames"])})
            for name, entry in content["segments"].items()
        }
        return Manifest(segments, {name: Pack(**entry) for name, entry in content["packs"].items()})
    except FileNotFoundError:
        return Manifest()
    except (ValueError, KeyError, TypeError) as error:
        raise EventLogDamagedError(
            f"{path} cannot be read ({type(error).__name__}), expected the list of sealed segments; "
            "restore it from its copy. Nothing was changed."
        ) from error


def write_manifest(root: Path, manifest: Manifest) -> None:
    """Replace the manifest in one step; durable on return."""
    content = {
        "segments": {
            name: {**vars(entry), "frames": [list(frame) for frame in entry.frames]}
            for name, entry in sorted(manifest.segments.items())
        },
        "packs": {name: vars(entry) for name, entry in sorted(manifest.packs.items())},
    }
    draft = root / f"{MANIFEST}.new"
    with draft.open("wb") as file:
        file.write(orjson.dumps(content))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(root / MANIFEST)
    sync_folder(root)


class PackWriter:
    """Writes the frames of segments one after the other and keeps count of what stands where."""

    def __init__(self, file: BinaryIO, name: str, sealed_at: str) -> None:
        self._file = file
        self._name = name
        self._sealed_at = sealed_at
        self._digest = hashlib.sha256()
        self._size = 0
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)

    def add_plain(self, name: str, plain: BinaryIO, size: int) -> SealedSegment:
        """Compress the first `size` bytes of a plain segment, which end with a line feed."""
        digest, frames, lines, start = hashlib.sha256(), [], 0, 0
        first = last = ""
        while start < size:
            piece = plain.read(min(FRAME_BYTES, size - start))
            if not piece:
                raise EventLogDamagedError(f"Segment {name} became shorter while it was sealed.")
            digest.update(piece)
            lines += piece.count(b"\n")
            for time in _times(piece, is_first=start == 0):
                first, last = min(first or time, time), max(last, time)
            frames.append(self._frame(start, len(piece), self._compressor.compress(piece)))
            start += len(piece)
        return SealedSegment(
            name, self._name, size, lines, digest.hexdigest(), first, last, tuple(frames), self._sealed_at
        )

    def add_sealed(self, segment: SealedSegment, stored: BinaryIO) -> SealedSegment:
        """Copy the frames of a sealed segment as they are."""
        frames = []
        for frame in segment.frames:
            stored.seek(frame.stored_at)
            frames.append(self._frame(frame.start, frame.bytes, stored.read(frame.stored_bytes)))
        return SealedSegment(**{**vars(segment), "pack": self._name, "frames": tuple(frames)})

    def finish(self, address: str) -> Pack:
        """The pack as it stands now."""
        return Pack(address, self._size, self._digest.hexdigest())

    def _frame(self, start: int, size: int, data: bytes) -> Frame:
        frame = Frame(start, size, self._size, len(data))
        self._file.write(data)
        self._digest.update(data)
        self._size += len(data)
        return frame


def _times(piece: bytes, *, is_first: bool) -> Iterator[str]:
    """The time of receipt of every line that begins in a piece; a line that is no record has none."""
    at = 0 if is_first else piece.find(b"\n") + 1
    while 0 <= at < len(piece):
        if piece[at + TIME_CHARACTERS : at + TIME_CHARACTERS + 1] == b"\t":
            yield piece[at : at + TIME_CHARACTERS].decode("ascii", "replace")
        at = piece.find(b"\n", at) + 1
        if at == 0:
            return


def open_pack(root: Path, pack: Pack) -> BinaryIO:
    """The stored file; raises EventLogDamagedError when it is not where the manifest says."""
    try:
        if "://" in pack.address:
            return cast("BinaryIO", fsspec.open(pack.address, "rb").open())
        return (root / pack.address).open("rb")
    except FileNotFoundError as error:
        raise EventLogDamagedError(
            f"Sealed segments are missing: {pack.address} is not there, expected {pack.bytes:,} bytes; "
            "restore it from its copy."
        ) from error


class SealedFile(io.RawIOBase):
    """A sealed segment as the plain file that it was: it can be sought and read, a frame at a time."""

    def __init__(self, stored: BinaryIO, segment: SealedSegment) -> None:
        super().__init__()
        self._stored = stored
        self._segment = segment
        self._at = 0
        self._piece: tuple[int, bytes] = (0, b"")
        self._decompressor = zstandard.ZstdDecompressor()

    def readable(self) -> bool:
        """It can be read."""
        return True

    def seekable(self) -> bool:
        """It can be sought."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a byte of the plain content."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._segment.bytes}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer from where we are, at most to the end of a frame."""
        start, piece = self._piece
        if not start <= self._at < start + len(piece):
            frame = _frame_at(self._segment.frames, self._at)
            if frame is None:
                return 0
            start, piece = self._piece = frame.start, self._unpacked(frame)
        found = piece[self._at - start : self._at - start + len(buffer)]
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)

    def close(self) -> None:
        """Close the pack too."""
        if not self.closed:
            self._stored.close()
        super().close()

    def _unpacked(self, frame: Frame) -> bytes:
        try:
            self._stored.seek(frame.stored_at)
            data = self._stored.read(frame.stored_bytes)
            piece = self._decompressor.decompress(data, max_output_size=frame.bytes)
        except zstandard.ZstdError as error:
            raise self._damaged(frame) from error
        if len(piece) != frame.bytes:
            raise self._damaged(frame)
        return piece

    def _damaged(self, frame: Frame) -> EventLogDamagedError:
        return EventLogDamagedError(
            f"Sealed segment {self._segment.name} is damaged from byte {frame.start:,} on "
            f"({self._segment.pack}, byte {frame.stored_at:,}): its checksum does not match. "
            "Restore that file from its copy; `cdp events verify` lists everything that is damaged."
        )


def _frame_at(frames: Sequence[Frame], at: int) -> Frame | None:
    return next((frame for frame in frames if frame.start <= at < frame.start + frame.bytes), None)


def open_sealed(root: Path, manifest: Manifest, segment: SealedSegment) -> io.BufferedReader:
    """A sealed segment to be read like a plain one."""
    stored = open_pack(root, manifest.packs[segment.pack])
    return io.BufferedReader(SealedFile(stored, segment), FRAME_BYTES)


def content_checksum(root: Path, manifest: Manifest, segment: SealedSegment) -> str:
    """SHA-256 of what the segment's frames unpack to now."""
    with open_sealed(root, manifest, segment) as file:
        return checksum_of(file)


def checksum_of(file: BinaryIO) -> str:
    """SHA-256 of the rest of a file, a block at a time."""
    digest = hashlib.sha256()
    while block := file.read(FRAME_BYTES):
        digest.update(block)
    return digest.hexdigest()
