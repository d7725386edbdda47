"""Rate windows of a destination, asked with the time given: nothing here waits by itself."""

import sqlite3
from bisect import bisect_left, insort
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast

from pyrate_limiter import InMemoryBucket, RateItem, SQLiteBucket
from pyrate_limiter import Rate as WindowRate

from activation.adapters.base import Rate
from activation.times import to_micros

LOCK_WAIT_SECONDS = 0.02  # longer would hold up every other destination
BUSY = timedelta(milliseconds=20)
GRAIN = timedelta(milliseconds=2)  # moments are cut to milliseconds, here and perhaps there


class RateWindows:
    """Every window that a destination declares; a request is admitted only if all of them have room.

    Who sends keeps windows that are longer by a `margin`.
    """

    def __init__(self, rates: Sequence[Rate], *, margin: timedelta = timedelta(0)) -> None:
        self._bucket = InMemoryBucket(_windows(rates, margin)) if rates else None

    def admit(self, now: datetime) -> timedelta:
        """Zero if a request may leave now, and then it counts; else how long to wait before asking again."""
        if self._bucket is None:
            return timedelta(0)
        milliseconds = to_micros(now) // 1000
        self._bucket.leak(milliseconds)
        item = RateItem("request", milliseconds)
        if self._bucket.put(item):
            return timedelta(0)
        return _wait(self._bucket, item)

    def arrived(self, admitted_at: datetime, by: datetime) -> None:
        """The request that was admitted then may have arrived as late as `by`; it counts from that moment."""
        if self._bucket is None:
            return
        items, admitted = self._bucket.items, to_micros(admitted_at) // 1000
        position = bisect_left(items, admitted, key=_moment)
        if position < len(items) and items[position].timestamp == admitted:
            del items[position]
            insort(items, RateItem("request", to_micros(by) // 1000), key=_moment)


class SharedRateWindows:
    """The same windows for every process that sends to one destination: a SQLite file of its own.

    The kernel frees the lock of a process that is killed, and what it had counted stands. A lock that is not
    free at once is not waited for: the answer is then to ask again. The file may be deleted at any time; a
    power cut may empty it.
    """

    def __init__(self, path: Path, rates: Sequence[Rate], *, margin: timedelta = timedelta(0)) -> None:
        self._path = path
        self._rates = _windows(rates, margin)
        self._bucket: SQLiteBucket | None = None

    def admit(self, now: datetime) -> timedelta:
        """Zero if a request may leave now, and then it counts; else how long to wait before asking again."""
        if not self._rates:
            return timedelta(0)
        milliseconds = to_micros(now) // 1000
        item = RateItem("request", milliseconds)
        try:
            bucket = self._bucket or self._open()
            with bucket.conn:
                bucket.conn.execute("begin immediate")
                self._forget(bucket.conn, milliseconds)
                # counts and adds in this transaction, so that no other process passes in between
                return timedelta(0) if bucket.put(item) else _wait(bucket, item)
        except sqlite3.OperationalError as error:
            _raise_unless_busy(error)
            return BUSY

    def arrived(self, admitted_at: datetime, by: datetime) -> None:
        """The request that was admitted then may have arrived as late as `by`; it counts from that moment.

        While another process holds the lock nothing is noted: it counts as admitted.
        """
        if self._bucket is None:
            return
        try:
            self._bucket.conn.execute(
                "update requests set item_timestamp = ? where rowid ="
                " (select rowid from requests where item_timestamp = ? limit 1)",
                (to_micros(by) // 1000, to_micros(admitted_at) // 1000),
            )
        except sqlite3.OperationalError as error:
            _raise_unless_busy(error)

    def close(self) -> None:
        """Close the file; another run may open it again."""
        if self._bucket is not None:
            self._bucket.conn.close()
            self._bucket = None

    def _open(self) -> SQLiteBucket:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            self._path, timeout=LOCK_WAIT_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("pragma journal_mode = wal")
            connection.execute("pragma synchronous = off")
            connection.execute("create table if not exists requests (name varchar, item_timestamp integer)")
            connection.execute("create index if not exists requests_by_time on requests (item_timestamp)")
        except BaseException:
            connection.close()
            raise
        self._bucket = SQLiteBucket(self._rates, connection, "requests")
        return self._bucket

    def _forget(self, connection: sqlite3.Connection, now: int) -> None:
        """Drop what is outside of every window, and what a clock that was put back has left in the future."""
        longest = self._rates[-1].interval
        connection.execute("delete from requests where item_timestamp < ?", (now - longest,))
        connection.execute("delete from requests where item_timestamp > ?", (now + longest,))


def _windows(rates: Sequence[Rate], margin: timedelta) -> list[WindowRate]:
    more = margin // timedelta(milliseconds=1)
    return sorted(
        (WindowRate(rate.limit, int(rate.seconds * 1000) + more) for rate in rates), key=_by_interval
    )


def _wait(bucket: InMemoryBucket | SQLiteBucket, item: RateItem) -> timedelta:
    return timedelta(milliseconds=max(1, int(cast(int, bucket.waiting(item)))))


def _raise_unless_busy(error: sqlite3.OperationalError) -> None:
    if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        raise error


def _moment(item: RateItem) -> int:
    return int(item.timestamp)


def _by_interval(rate: WindowRate) -> int:
    return rate.interval
