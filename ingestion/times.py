"""Moments as the warehouse keeps them."""

from datetime import UTC, datetime


def naive_utc(moment: datetime) -> datetime:
    """The moment in UTC without a zone: how every timestamp of `raw` is kept."""
    return moment.astimezone(UTC).replace(tzinfo=None)
