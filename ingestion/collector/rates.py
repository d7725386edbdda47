"""How many events a second each limited key may send to this worker."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from ingestion.collector.keys import WriteKey

# What a key may send at once after a pause, in seconds of its rate.
BURST_SECONDS = 1.0


@dataclass
class _Bucket:
    tokens: float
    filled_at: float


class Rates:
    """One bucket of tokens for each limited key.

    A request is taken while tokens are left and may leave a debt, so a batch larger than the bucket gets
    through and is paid for by the wait after it. `share` is this worker's part of every limit, over 0 to 1;
    `clock` gives seconds that only grow.
    """

    def __init__(self, share: float, clock: Callable[[], float]) -> None:
        self._share = share
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def wait(self, key: WriteKey) -> int:
        """Whole seconds after which the key may send again; 0 when it may now."""
        if key.events_per_second is None:
            return 0
        rate = key.events_per_second * self._share
        bucket = self._filled(key, rate)
        return 0 if bucket.tokens > 0 else max(1, math.ceil(-bucket.tokens / rate))

    def take(self, key: WriteKey, events: int) -> None:
        """Count events of a key that were let in."""
        if key.events_per_second is not None:
            self._filled(key, key.events_per_second * self._share).tokens -= events

    def _filled(self, key: WriteKey, rate: float) -> _Bucket:
        now, most = self._clock(), max(1.0, rate * BURST_SECONDS)
        bucket = self._buckets.setdefault(key.key_id, _Bucket(most, now))
        bucket.tokens = min(most, bucket.tokens + (now - bucket.filled_at) * rate)
        bucket.filled_at = now
        return bucket
