"""Lines that must end in quarantine, each broken in exactly one way."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, Final

import orjson

from ingestion.sample.extract import CURRENCY
from ingestion.sample.randomness import Weighted, pick
from ingestion.sample.wire import DAY, END, HOUR, START, Wire, message_uuid

BROKEN_SHARE: Final = 0.0007
_KINDS: Final = Weighted(
    MALFORMED_JSON=18, NOT_AN_OBJECT=5, UNKNOWN_EVENT=22, MISSING_EVENT_ID=8, MISSING_IDENTITY=14,
    BAD_TIMESTAMP=7, CLOCK_OUT_OF_RANGE=8, INVALID_PROPERTIES=22, INVALID_ENCODING=6,
)  # fmt: skip
CODES: Final = (
    *(
        "MALFORMED_JSON",
        "NOT_AN_OBJECT",
        "UNKNOWN_EVENT",
        "MISSING_EVENT_ID",
        "MISSING_IDENTITY",
        "BAD_TIMESTAMP",
    ),
    *("CLOCK_OUT_OF_RANGE", "INVALID_PROPERTIES", "INVALID_ENCODING", "OVERSIZE"),
)
# Each leaves out, or gets wrong, what no contract for the event can do without.
_INVALID: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("Order Completed", {"currency": CURRENCY, "total": 12.5, "items": []}),
    ("Order Completed", {"order_id": "999001", "currency": CURRENCY, "total": "12.50", "items": []}),
    ("Order Completed", {"order_id": "999002", "currency": CURRENCY, "total": -4.25, "items": []}),
    ("Order Cancelled", {"currency": CURRENCY, "total": 4.25, "items": []}),
    ("Cart Updated", {"currency": CURRENCY, "total": 12.5, "items": []}),
    ("Product Viewed", {"name": "PAPER LANTERN", "price": 1.25}),
    ("Signed Up", {"first_name": "Kim", "last_name": "Lee"}),
    (
        "Consent Changed",
        {"channel": "email", "purpose": "marketing", "status": "yes", "capture_method": "form"},
    ),
    (
        "Consent Changed",
        {"channel": "pigeon", "purpose": "marketing", "status": "withdrawn", "capture_method": "form"},
    ),
)
_UNKNOWN: Final = ("Order Refunded", "Wishlist Shared", "Product Reviewed", "Coupon Redeemed")


def send_broken_lines(wire: Wire, random: Random, user_ids: Sequence[str], count: int) -> None:
    """Send at least one line of every code, `count` or more in all, over the whole time."""
    codes = [*CODES, *(_KINDS.draw(random) for _ in range(count - len(CODES)))]
    for index, code in enumerate(codes):
        at = int(START + HOUR + random.random() * (END - START - 4 * DAY))
        line = _broken_line(wire, random, code, at, user_id=pick(random, user_ids), index=index)
        wire.lines.append((at + 250, line + b"\n"))
        wire.quarantine(code)


def _broken_line(wire: Wire, random: Random, code: str, at: int, *, user_id: str, index: int) -> bytes:
    view = {"sku": "22423", "name": "REGENCY CAKESTAND 3 TIER", "price": 12.75, "currency": CURRENCY}
    message: dict[str, Any] = {
        "messageId": message_uuid(random),
        "type": "track",
        "event": "Product Viewed",
        "userId": user_id,
        "properties": view,
        "context": {"library": {"name": "@segment/analytics-node", "version": "3.1.0"}},
        "channel": "server",
        "timestamp": wire.iso(at),
        "originalTimestamp": wire.iso(at),
        "sentAt": wire.iso(at + 100),
        "receivedAt": wire.iso(at + 250),
    }
    if code == "NOT_AN_OBJECT":
        return pick(random, (b"[]", b'"ping"', b"null", b"42"))
    if code == "UNKNOWN_EVENT":
        if random.random() < 0.3:
            del message["event"]
            message |= {"type": "pageview", "name": "Home", "properties": {"path": "/"}}
        else:
            message["event"] = pick(random, _UNKNOWN)
    elif code == "MISSING_EVENT_ID":
        del message["messageId"]
    elif code == "MISSING_IDENTITY":
        del message["userId"]
    elif code == "BAD_TIMESTAMP":
        message["timestamp"] = message["originalTimestamp"] = "last tuesday"
    elif code == "CLOCK_OUT_OF_RANGE":
        wrong = "1970-01-01T00:00:12.000Z" if random.random() < 0.5 else wire.iso(at + 3 * DAY)
        message["timestamp"] = message["originalTimestamp"] = wrong
    elif code == "INVALID_PROPERTIES":
        message["event"], message["properties"] = _INVALID[index % len(_INVALID)]
    elif code == "OVERSIZE":
        message["properties"] = {**view, "name": "x" * 1_100_000}
    elif code == "INVALID_ENCODING":
        message["properties"] = {**view, "name": "CAF@ TRAY"}
        return orjson.dumps(message).replace(b"CAF@", b"CAF\xc9")
    line = orjson.dumps(message)
    if code == "MALFORMED_JSON":
        return line[: int(len(line) * (0.2 + random.random() * 0.6))]
    return line
