"""The ways in that the campaign of bad inputs tries, and what it expects and finds behind each of them."""

import contextlib
import gzip
import json
import select
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from ingestion.errors import IngestionError
from tests.ingestion.collector.server import Running
from tests.ingestion.messages import NOW, raw

# Stands in a body for the event id of the input, which no other input has.
ID = "@id"
TRACK = "/v1/track"


@dataclass(frozen=True)
class Outcome:
    """What became of an input: the answer, the lines in the log, and what the next load made of them.

    `accepted` are the event ids, `codes` says how many lines are in quarantine for which reasons (joined by
    `+`), `load_error` the error that the load stopped with.
    """

    answer: str
    kept: int = 0
    accepted: tuple[str, ...] = ()
    duplicates: int = 0
    codes: Mapping[str, int] = field(default_factory=dict)
    load_error: str = ""

    @property
    def quarantined(self) -> int:
        return sum(self.codes.values())


@dataclass(frozen=True)
class Door:
    """One input's view of a running collector and the log behind it.

    `refusals` gathers the bodies of 401 by route, which must all be the same.
    """

    collector: Running
    event_id: str
    refusals: dict[str, set[bytes]]

    def named(self, body: bytes) -> bytes:
        return body.replace(ID.encode(), self.event_id.encode())

    def post(self, path: str, body: bytes, **options: Any) -> httpx.Response:
        answer = self.collector.post(path, body, **options)
        if answer.status_code == 401:
            self.refusals.setdefault(path.partition("?")[0].rpartition("/")[0], set()).add(answer.content)
        return answer

    def archive(self, content: bytes, name: str = "archive.jsonl") -> Path:
        """A file with this content."""
        path = self.collector.house.folder / "archives" / self.event_id / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def imported(self, content: bytes, source: str = "web", **options: Any) -> str:
        """Import a file with this content, and say how that ended."""
        try:
            log = self.collector.house.log
            count = log.import_archive(self.archive(content), source, now=datetime.now(UTC), **options).count
        except IngestionError as error:
            return type(error).__name__
        return f"imported {count}"

    def spoken(self, parts: Iterable[bytes], drip: bytes = b"") -> str:
        """Send bytes as they are, then `drip` again and again; the status, or that the other side hung up."""
        heard = b""
        with self._connection() as connection:
            with contextlib.suppress(ConnectionError):
                for part in parts:
                    connection.sendall(part)
                while drip and not select.select([connection], [], [], 0.1)[0]:
                    connection.sendall(drip)
            with contextlib.suppress(ConnectionError):
                heard = connection.recv(65_536)
        return heard[len("HTTP/1.1 ") :][:3].decode() or "hung up"

    def left(self, parts: Iterable[bytes]) -> str:
        """Send bytes as they are and hang up."""
        with self._connection() as connection:
            for part in parts:
                connection.sendall(part)
        return "no answer"

    def _connection(self) -> socket.socket:
        place = urlsplit(self.collector.url)
        return socket.create_connection((place.hostname, place.port or 80), timeout=30)


@dataclass(frozen=True)
class BadInput:
    """An input, how it is sent, and what must become of it.

    With `collector` (settings of `running`) it gets a house of its own. `prepare` goes before it, `mend`
    between its load and the clean one, which then accepts `mended` beside the good event. `raws` are the
    messages that the log must hold.
    """

    name: str
    way: str
    send: Callable[[Door], str]
    expected: Outcome
    collector: Mapping[str, Any] | None = None
    prepare: Callable[[Door], object] | None = None
    mend: Callable[[Door], object] | None = None
    mended: tuple[str, ...] = ()
    raws: tuple[bytes, ...] | None = None


def taken(*ids: str, kept: int = 1, duplicates: int = 0) -> Outcome:
    """Acknowledged, in the log, and accepted under these ids."""
    return Outcome("200", kept, ids or (ID,), duplicates)


def aside(code: str, *, answer: int | str = 200, count: int = 1) -> Outcome:
    """In the log, and in quarantine for this reason; 400 where it is no JSON that the route asks for."""
    return Outcome(str(answer), count, codes={code: count})


def refused(answer: int | str) -> Outcome:
    """Not acknowledged and not kept."""
    return Outcome(str(answer))


def posted(
    name: str,
    body: bytes,
    expected: Outcome,
    *,
    path: str = TRACK,
    pack: Callable[[bytes], bytes] | None = None,
    headers: Mapping[str, str] | None = None,
) -> BadInput:
    """A body, packed or not, sent to a route of the collector."""

    def send(door: Door) -> str:
        content = door.named(body)
        sent = pack(content) if pack else content
        return str(door.post(path, sent, headers=headers).status_code)

    is_one_line = expected.kept == 1 and pack is None and path in (TRACK, "/v1/identify")
    raws = (body.replace(b"\n", b" ").strip(b" \t\r\n"),) if is_one_line else None
    return BadInput(name, f"POST {path}", send, expected, raws=raws)


def archived(name: str, content: bytes, expected: Outcome, **options: Any) -> BadInput:
    """A file of lines, imported into the log."""
    given = {"received_at": NOW, **options}
    return BadInput(name, "archive", lambda door: door.imported(door.named(content), **given), expected)


def both(name: str, line: bytes, expected: Outcome) -> list[BadInput]:
    """One line, as the body of a request and as the line of an archive: the same must become of it."""
    file = Outcome("imported 1", 1, expected.accepted, 0, expected.codes)
    by_file = BadInput(
        name, "archive", lambda door: door.imported(door.named(line), received_at=NOW), file, raws=(line,)
    )
    return [posted(name, line, expected), by_file]


def event(*, old: str = "", new: bytes = b"", **changes: Any) -> bytes:
    """A right event with the id of the input, changed as Python values or, from `old` to `new`, as bytes."""
    whole = raw(**{"event_id": ID, **changes})
    found = whole.replace(old.encode(), new, 1)
    if old and found == whole:
        raise ValueError(f"{old!r} is not in {whole!r}")
    return found


def batch(*messages: bytes, name: str = "batch") -> bytes:
    return b'{"%b":[%b]}' % (name.encode(), b",".join(messages))


def own(**changes: Any) -> bytes:
    """A right event in our own envelope; a change to ... (Ellipsis) leaves the key out."""
    whole = {
        "event_name": "product_viewed",
        "event_id": ID,
        "occurred_at": "2010-12-01T08:26:00Z",
        "user_id": "u-1",
        "properties": {"sku": "85123A"},
        **changes,
    }
    return json.dumps({key: value for key, value in whole.items() if value is not ...}).encode()


def packed(body: bytes) -> bytes:
    return gzip.compress(body, mtime=0)
