"""Moments as the warehouse keeps them, and how far apart clocks may be."""

from datetime import UTC, datetime, timedelta
from typing import Final

# How far ahead of ours the clock of a sender may be.
MAX_AHEAD: Final = timedelta(hours=24)


def naive_utc(moment: datetime) -> datetime:
    """The moment in UTC without a zone: how every timestamp of `raw` is kept."""
    return moment.astimezone(UTC).replace(tzinfo=None)
