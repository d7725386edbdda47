"""Rate windows of a destination, asked with the time given: nothing here waits by itself."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import cast

from pyrate_limiter import InMemoryBucket, RateItem
from pyrate_limiter import Rate as WindowRate

from activation.adapters.base import Rate
from activation.times import to_micros


class RateWindows:
    """Every window that a destination declares; a request is admitted only if all of them have room."""

    def __init__(self, rates: Sequence[Rate]) -> None:
        windows = sorted(
            (WindowRate(rate.limit, int(rate.seconds * 1000)) for rate in rates), key=_by_interval
        )
        self._bucket = InMemoryBucket(windows) if windows else None

    def admit(self, now: datetime) -> timedelta:
        """Zero if a request may leave now, and then it counts; else how long to wait before asking again."""
        if self._bucket is None:
            return timedelta(0)
        milliseconds = to_micros(now) // 1000
        self._bucket.leak(milliseconds)
        item = RateItem("request", milliseconds)
        if self._bucket.put(item):
            return timedelta(0)
        return timedelta(milliseconds=max(1, int(cast(int, self._bucket.waiting(item)))))


def _by_interval(rate: WindowRate) -> int:
    return rate.interval
