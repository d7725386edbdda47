"""Messages in the Segment wire format, as an archive keeps them: one JSON object a line, with the time of receipt."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any, Final, Literal

import orjson

from ingestion.sample.manifest import AS_OF, STARTS_AT
from ingestion.sample.randomness import pick

MINUTE: Final = 60_000
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
START: Final = int(STARTS_AT.timestamp()) * 1000
END: Final = int(AS_OF.timestamp()) * 1000

REPEATED_SHARE: Final = 0.003
_LATE_SHARE: Final = 0.01
_SKEWED_SHARE: Final = 0.02

Channel = Literal["web", "mobile", "server"]
_LIBRARIES: Final[dict[Channel, dict[str, str]]] = {
    "web": {"name": "analytics.js", "version": "next-1.84.3"},
    "mobile": {"name": "analytics-ios", "version": "4.1.8"},
    "server": {"name": "@segment/analytics-node", "version": "3.1.0"},
}
SERVER_CONTEXT: Final = orjson.Fragment(orjson.dumps({"library": _LIBRARIES["server"]}))


class Iso:
    """Formats milliseconds as `2010-12-01T08:26:00.000Z`, several times faster than datetime does."""

    def __init__(self) -> None:
        self._minutes: dict[int, str] = {}
        self._rest = [f"{ms // 1000:02d}.{ms % 1000:03d}Z" for ms in range(MINUTE)]

    def __call__(self, at: int) -> str:
        """The text of one moment."""
        minute, rest = divmod(at, MINUTE)
        text = self._minutes.get(minute)
        if text is None:
            moment = datetime.fromtimestamp(minute * 60, tz=UTC)
            text = self._minutes[minute] = moment.strftime("%Y-%m-%dT%H:%M:")
        return text + self._rest[rest]


@dataclass(slots=True)
class Session:
    """One visit: what all its messages share. `skew` is how wrong the device's clock is, `delay` how late it sends."""

    channel: Channel
    anonymous_id: str | None
    context: orjson.Fragment
    skew: int = 0
    delay: int = 0


@dataclass(slots=True)
class Wire:
    """Encodes messages into lines and counts them; one per replica of the company."""

    iso: Iso
    lines: list[tuple[int, bytes]] = field(default_factory=list)
    events_by_name: dict[str, int] = field(default_factory=dict)
    accepted: int = 0
    repeated: int = 0
    quarantined: dict[str, int] = field(default_factory=dict)

    def send(
        self,
        random: Random,
        session: Session,
        at: int,
        event: str,
        body: dict[str, Any] | orjson.Fragment,
        *,
        user_id: str | None,
        anonymous_id: str | None,
    ) -> str:
        """Write one message (`event` "identify" is an identify call, anything else a track) and return its id."""
        message, received, sent = self._compose(
            random, session, at, event, body, user_id=user_id, anonymous_id=anonymous_id
        )
        self._write(received, message)
        self.accepted += 1
        self.events_by_name[event] = self.events_by_name.get(event, 0) + 1
        if random.random() < REPEATED_SHARE:
            self._repeat(random, received, sent, session.skew, message)
        return str(message["messageId"])

    def send_broken(
        self,
        random: Random,
        session: Session,
        at: int,
        event: str,
        body: dict[str, Any],
        *,
        user_id: str | None,
        anonymous_id: str | None,
    ) -> None:
        """Write a message whose properties break the contract of its event."""
        message, received, _ = self._compose(
            random, session, at, event, body, user_id=user_id, anonymous_id=anonymous_id
        )
        self._write(received, message)
        self.quarantine("INVALID_PROPERTIES")

    def quarantine(self, code: str) -> None:
        """Count a line that will be quarantined."""
        self.quarantined[code] = self.quarantined.get(code, 0) + 1

    def _compose(
        self,
        random: Random,
        session: Session,
        at: int,
        event: str,
        body: dict[str, Any] | orjson.Fragment,
        *,
        user_id: str | None,
        anonymous_id: str | None,
    ) -> tuple[dict[str, Any], int, int]:
        identify = event == "identify"
        message_id = message_uuid(random)
        sent = at + 5 + int(random.random() * 900) + session.delay
        received = sent + 20 + int(random.random() * 400)
        if received > END:
            sent = received = END
        message: dict[str, Any] = {"messageId": message_id, "type": "identify" if identify else "track"}
        if not identify:
            message["event"] = event
        if user_id is not None:
            message["userId"] = user_id
        if anonymous_id is not None:
            message["anonymousId"] = anonymous_id
        iso = self.iso
        message["traits" if identify else "properties"] = body
        message["context"] = session.context
        message["channel"] = session.channel
        message["timestamp"] = iso(at)
        message["originalTimestamp"] = iso(at + session.skew)
        message["sentAt"] = iso(sent + session.skew)
        message["receivedAt"] = iso(received)
        return message, received, sent

    def _repeat(self, random: Random, received: int, sent: int, skew: int, message: dict[str, Any]) -> None:
        """The client saw no answer and sends the same message again: seconds or, rarely, days later."""
        pause = int(random.random() * (3 * DAY if random.random() < 0.1 else 10 * MINUTE)) + 1000
        if received + pause > END:
            return
        message["sentAt"] = self.iso(sent + pause + skew)
        message["receivedAt"] = self.iso(received + pause)
        self._write(received + pause, message)
        self.repeated += 1

    def _write(self, received: int, message: dict[str, Any]) -> None:
        # The copy has its true size; orjson's own result keeps the kilobyte it was allocated with.
        line = memoryview(orjson.dumps(message, option=orjson.OPT_APPEND_NEWLINE)).tobytes()
        self.lines.append((received, line))


def message_uuid(random: Random) -> str:
    """A random UUID, version 4."""
    text = f"{random.getrandbits(128):032x}"
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"


def open_session(random: Random, at: int, channel: Channel, anonymous_id: str | None) -> Session:
    """A visit that starts now: some devices have a wrong clock, some send hours later, some came from a newsletter."""
    context: dict[str, Any] = {
        "library": _LIBRARIES[channel],
        "sessionId": f"{random.getrandbits(60):015x}",
        "locale": "en-GB",
        "consent": {"categoryPreferences": {"analytics": True, "advertising": random.random() < 0.6}},
    }
    if random.random() < 0.05:
        campaign = f"newsletter_{datetime.fromtimestamp(at // 1000, tz=UTC):%Y_%m}"
        context["campaign"] = {"name": campaign, "source": "newsletter", "medium": "email"}
    skew = delay = 0
    draw = random.random()
    if draw < _SKEWED_SHARE:
        skew = pick(random, (-1, 1)) * int(30_000 + random.random() * 2 * HOUR)
    elif draw < _SKEWED_SHARE + _LATE_SHARE and at < END - 3 * DAY:
        delay = int(random.random() * 36 * HOUR)
    return Session(channel, anonymous_id, orjson.Fragment(orjson.dumps(context)), skew, delay)


def server_session() -> Session:
    """Messages of the shop's own back end: no device, no delay."""
    return Session("server", None, SERVER_CONTEXT)
