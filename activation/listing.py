"""What a destination says it has, asked for page by page and kept on disk, so that memory stays flat."""

import sqlite3
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Self

import httpx

from activation.config import Sync
from activation.errors import DestinationDownError
from activation.outside import OpenDestination
from activation.room import Failure, Room

CHUNK_ROWS = 50_000


class Listing:
    """Keys and their fields in a temporary file without a name, which is gone when this is closed.

    A list that changes while it is read may show a key on two pages: the later one counts.
    """

    def __init__(self) -> None:
        self._file = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._file.execute("create table members (key text primary key, fields text) without rowid")
        self._file.execute("begin")

    def __enter__(self) -> Self:
        """Itself, open already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let go of the file."""
        self._file.close()

    def add(self, page: Mapping[str, str]) -> None:
        """Take in one page: key -> fields as canonical JSON text."""
        self._file.executemany("insert or replace into members values (?, ?)", page.items())

    def key_parts(self) -> Iterator[list[tuple[str]]]:
        """Every key in a row of its own, in order, a part of them at a time."""
        cursor = self._file.execute("select key from members order by key")
        while rows := cursor.fetchmany(CHUNK_ROWS):
            yield rows

    def fields(self, key: str) -> str | None:
        """The fields of a key; None where it is not there."""
        row = self._file.execute("select fields from members where key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])


async def list_members(sync: Sync, destination: OpenDestination, room: Room, into: Listing) -> None:
    """Ask the destination, whose adapter is open, for all that it has in the sync's list.

    Each page is a request, and waits for its turn. Raises DestinationDownError where one fails,
    RoomClosedError where nothing can be asked any more: half a list is none.
    """
    pages = destination.adapter.list_members(sync.target)
    while True:
        entry = await room.enter()
        try:
            page = await anext(pages, None)
        except BaseException as error:
            room.leave(entry, failure=Failure("members_not_listed"))
            if isinstance(error, OSError | httpx.HTTPError):
                raise _not_listed(sync, error) from error
            raise
        room.leave(entry, is_unsent=page is None)
        if page is None:
            return
        try:
            into.add(page)
        except sqlite3.Error as error:
            why = f"{error}, in the folder of temporary files: TMPDIR names another"
            raise _not_listed(sync, why) from error


def _not_listed(sync: Sync, why: object) -> DestinationDownError:
    return DestinationDownError(
        f"What {sync.destination.name} has in list {sync.target.list_name!r} could not be read ({why}); "
        "nothing was changed. Try again."
    )
