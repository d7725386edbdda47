"""Rate windows of a destination, asked with the time given: nothing here waits by itself."""

import sqlite3
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


class RateWindows:
    """Every window that a destination declares; a request is admitted only if all of them have room."""

    def __init__(self, rates: Sequence[Rate]) -> None:
        self._bucket = InMemoryBucket(_windows(rates)) if rates else None

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


class SharedRateWindows:
    """The same windows for every process that sends to one destination: a SQLite file of its own.

    The kernel frees the lock of a process that is killed, and what it had counted stands. A lock that is not
    free at once is not waited for: the answer is then to ask again. The file may be deleted at any time; a
    power cut may empty it.
    """

    def __init__(self, path: Path, rates: Sequence[Rate]) -> None:
        self._path = path
        self._rates = _windows(rates)
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
            if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise
            return BUSY

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


def _windows(rates: Sequence[Rate]) -> list[WindowRate]:
    return sorted((WindowRate(rate.limit, int(rate.seconds * 1000)) for rate in rates), key=_by_interval)


def _wait(bucket: InMemoryBucket | SQLiteBucket, item: RateItem) -> timedelta:
    return timedelta(milliseconds=max(1, int(cast(int, bucket.waiting(item)))))


def _by_interval(rate: WindowRate) -> int:
    return rate.interval
