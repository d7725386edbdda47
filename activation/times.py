"""Aware datetimes outside, microseconds since 1970 (UTC) in the ledger."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_micros(moment: datetime) -> int:
    """Whole microseconds since 1970; refuses a datetime without a zone."""
    if moment.tzinfo is None:
        raise ValueError(f"expected a time with its zone, found {moment!r}; pass a UTC time")
    return (moment - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """The UTC time of a ledger's number."""
    return _EPOCH + timedelta(microseconds=micros)
