"""What a destination says it has, asked for page by page and kept on disk, so that memory stays flat."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from activation.adapters.base import Outcome, OutcomeKind
from activation.config import Sync
from activation.errors import DestinationDownError, TemporaryFileError
from activation.outside import Engine, OpenDestination
from activation.room import Room

CHUNK_ROWS = 50_000
IDLE_PAGES = 100  # so many pages in a row that show nobody new are no list


class Listing:
    """Keys and their fields in a temporary file without a name, which is gone when this is closed.

    A list that changes while it is read may show a key on two pages: the later one counts. What cannot be
    written or read is a TemporaryFileError, and then nothing more can be had from it: half a list is none.
    """

    def __init__(self) -> None:
        self.is_text = False  # see `Page`
        self._file = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        with self._clear_errors():
            self._file.execute("create table members (key text primary key, fields text) without rowid")

    def __enter__(self) -> Self:
        """Itself, open already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let go of the file."""
        self._file.close()

    def add(self, page: Mapping[str, str]) -> int:
        """Take in a page, key -> fields as canonical JSON text; returns how many keys were not there yet."""
        with self._clear_errors():
            self._file.execute("begin")
            new = self._file.executemany("insert or ignore into members values (?, ?)", page.items()).rowcount
            if new < len(page):
                self._file.executemany(
                    "update members set fields = ? where key = ?", [(page[key], key) for key in page]
                )
            self._file.execute("commit")
        return new

    def key_parts(self) -> Iterator[list[tuple[str]]]:
        """Every key in a row of its own, in order, a part of them at a time."""
        with self._clear_errors():
            cursor = self._file.execute("select key from members order by key")
            while rows := cursor.fetchmany(CHUNK_ROWS):
                yield rows

    def fields_of(self, keys: Iterable[str]) -> dict[str, str]:
        """Key -> fields, of those of the keys that are there."""
        with self._clear_errors():
            execute = self._file.execute
            rows = (
                execute("select key, fields from members where key = ?", (key,)).fetchone() for key in keys
            )
            return dict(row for row in rows if row is not None)

    @contextmanager
    def _clear_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            self._file.close()
            raise TemporaryFileError(
                f"What a destination has could not be kept in a temporary file ({error}); no more was done. "
                "Free space where temporary files are, or name another folder in SQLITE_TMPDIR; try again."
            ) from error


async def list_members(
    sync: Sync, destination: OpenDestination, engine: Engine, room: Room, into: Listing
) -> None:
    """Ask the destination, whose adapter is open, for all that it has in the sync's list.

    Each page is a request, waits for its turn, and is asked for again a few times. Raises
    DestinationDownError where that does not help, RoomClosedError where nothing can be asked any more.
    """
    patience = engine.patience
    after, failures, idle = None, 0, 0
    while True:
        entry = await room.enter()
        try:
            page = await destination.adapter.list_members(sync.target, after)
        except BaseException:
            room.leave(entry, is_unsent=True)
            raise
        if isinstance(page, Outcome):
            room.leave_with_answer(entry, is_good=False, retry_after=page.retry_after)
            failures += 1
            why = page.reason or "no reason given"
            if page.stops_destination or page.kind is OutcomeKind.REJECTED:
                raise _not_listed(sync, why, "A person must act before it can be.")
            if page.retry_after is not None and page.retry_after > patience.give_up_after:
                raise _not_listed(sync, f"{why}, for {page.retry_after.total_seconds():,.0f} s")
            if failures >= patience.unknown_attempts:
                raise _not_listed(sync, why)
            await engine.pause(patience.wait(failures, sync.name))
            continue
        room.leave_with_answer(entry, is_good=True, retry_after=None)
        if not all(fields.startswith("{") for fields in page.members.values()):
            raise _not_listed(sync, "fields of a member are no object")
        into.is_text |= page.is_text
        idle = 0 if into.add(page.members) else idle + 1
        if page.next is None:
            return
        if page.next == after:
            raise _not_listed(sync, "a page leads to itself")
        if idle >= IDLE_PAGES:
            raise _not_listed(sync, f"{idle} pages in a row show nobody new")
        after, failures = page.next, 0


def _not_listed(sync: Sync, why: str, then: str = "Try again.") -> DestinationDownError:
    return DestinationDownError(
        f"What {sync.destination.name} has in list {sync.target.list_name!r} could not be read ({why}); "
        f"nothing was changed. {then}"
    )
