"""How far a stream is in the event log: read from the log itself, so that the two can never disagree.

Every line of a stream carries its place in the note that makes it. A message and the position after it
become durable in the same append, and a consumer that starts anew begins after what the log holds, whatever
the broker was told. A file remembers how far the log was read for that, so only its end is read again.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import orjson

from ingestion.event_log import EventLog
from ingestion.records import split_record
from ingestion.segments import sync_folder


class Positions:
    """The next position of each partition of one stream. The file may be lost: the log is then read whole."""

    def __init__(self, log: EventLog, folder: Path, stream: str) -> None:
        self._log = log
        self._file = folder / f"{stream}.json"
        self._stream = stream
        self._mark = b'"stream":"%b"' % stream.encode()

    def read(self) -> dict[str, int]:
        """Partition to the position after the last message of it that is durable."""
        read_to, positions = self._remembered()
        lengths = self._log.segments()
        for segment, end in lengths.items():
            start = read_to.get(segment, 0)
            if start < end:
                self._take(segment, start, end, positions)
        self._remember(lengths, positions)
        return positions

    def _take(self, segment: str, start: int, end: int, positions: dict[str, int]) -> None:
        with self._log.open_segment(segment) as file:
            file.seek(start)
            while start < end:
                line = file.readline()
                start += len(line)
                if self._mark not in line:
                    continue
                parts = split_record(line)
                note = parts.note if parts is not None else {}
                if note.get("stream") == self._stream:
                    partition, after = str(note["partition"]), int(note["position"]) + 1
                    positions[partition] = max(after, positions.get(partition, 0))

    def _remembered(self) -> tuple[dict[str, int], dict[str, int]]:
        try:
            found = orjson.loads(self._file.read_bytes())
        except (FileNotFoundError, orjson.JSONDecodeError):
            return {}, {}
        return found["read_to"], {name: int(position) for name, position in found["next"].items()}

    def _remember(self, lengths: Mapping[str, int], positions: Mapping[str, int]) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        draft = self._file.with_suffix(f".{os.getpid()}.new")
        # A position of Kinesis has more digits than a JSON number keeps.
        content = {"read_to": lengths, "next": {name: str(after) for name, after in positions.items()}}
        with draft.open("wb") as file:
            file.write(orjson.dumps(content))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._file)
        sync_folder(self._file.parent)
