"""Messages in the Segment wire format, as an archive keeps them: JSON lines with the time of receipt."""

from __future__ import annotations

from collections.abc import Sequence
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
_REPEATED_BELOW: Final = int(REPEATED_SHARE * (1 << 48))
_LATE_SHARE: Final = 0.01
_SKEWED_SHARE: Final = 0.02

Channel = Literal["web", "mobile", "server"]
_LIBRARIES: Final[dict[Channel, dict[str, str]]] = {
    "web": {"name": "analytics.js", "version": "next-1.84.3"},
    "mobile": {"name": "analytics-ios", "version": "4.1.8"},
    "server": {"name": "@segment/analytics-node", "version": "3.1.0"},
}
_ID_PREFIXES: Final[dict[Channel, str]] = {"web": "ajs-next", "mobile": "ios", "server": "node-next"}


class Iso:
    """Formats milliseconds as `2010-12-01T08:26:00.000Z`, several times faster than datetime does."""

    def __init__(self) -> None:
        self._minutes: dict[int, str] = {}
        self._seconds = [f"{second:02d}." for second in range(60)]
        self.milliseconds = [f"{ms:03d}Z" for ms in range(1000)]

    def second(self, second: int) -> str:
        """The text of a second since 1970, up to the decimal point; `milliseconds` has what follows."""
        text = self._minutes.get(second // 60)
        if text is None:
            text = datetime.fromtimestamp(second - second % 60, tz=UTC).strftime("%Y-%m-%dT%H:%M:")
            self._minutes[second // 60] = text
        return text + self._seconds[second % 60]

    def __call__(self, at: int) -> str:
        """The text of one moment."""
        return self.second(at // 1000) + self.milliseconds[at % 1000]


@dataclass(slots=True)
class Session:
    """What the messages of one visit share; `skew` is how wrong the clock is, `delay` how late it sends."""

    id_prefix: str
    context: str
    skew: int = 0
    delay: int = 0


@dataclass(slots=True)
class Wire:
    """Encodes messages into lines and counts them; one per replica of the company.

    Ids and bodies come as JSON text, so that what repeats (items, pages, a visit's context) is encoded once
    and a message is one format expression, four times faster than encoding a whole object.
    """

    iso: Iso
    lines: list[tuple[int, bytes]] = field(default_factory=list)
    events_by_name: dict[str, int] = field(default_factory=dict)
    accepted: int = 0
    repeated: int = 0
    quarantined: dict[str, int] = field(default_factory=dict)

    def send(self, random: Random, session: Session, at: int, event: str, *, who: str, body: str) -> str:
        """Write one message that will be accepted and return its id.

        `event` "identify" is an identify call, anything else a track; `who` comes from `identity`.
        """
        return self.send_all(random, session, event, ((at, who, body),))

    def send_broken(
        self, random: Random, session: Session, at: int, event: str, *, who: str, body: str
    ) -> None:
        """Write a message whose properties break the contract of its event."""
        repeated, written = self.repeated, len(self.lines)
        self.send_all(random, session, event, ((at, who, body),))
        self.accepted -= 1
        self.events_by_name[event] -= 1
        # A broken message that comes twice is broken twice.
        self.repeated = repeated
        for _ in range(len(self.lines) - written):
            self.quarantine("INVALID_PROPERTIES")

    def quarantine(self, code: str) -> None:
        """Count a line that will be quarantined."""
        self.quarantined[code] = self.quarantined.get(code, 0) + 1

    def send_all(
        self, random: Random, session: Session, event: str, messages: Sequence[tuple[int, str, str]]
    ) -> str:
        """Write several messages of one event, each (when, who, body); returns the last id. The hot path."""
        iso, lines, bits = self.iso, self.lines, random.getrandbits
        text_of, milliseconds = iso.second, iso.milliseconds
        prefix, context, skew, delay = session.id_prefix, session.context, session.skew, session.delay
        is_prompt = skew == 0 and delay == 0
        call, key = (
            ('"type":"identify"', "traits")
            if event == "identify"
            else (f'"type":"track","event":"{event}"', "properties")
        )
        message_id = ""
        for at, who, body in messages:
            # One draw per message: the id is all of it, the two latencies and the repeat are parts of it.
            chance = bits(64)
            message_id = f"{prefix}-{at}-{chance:016x}"
            sent = at + 1 + chance % 61 + delay
            received = sent + 10 + chance // 61 % 140
            second, ms = at // 1000, at % 1000
            if is_prompt and received // 1000 == second:
                base = text_of(second)
                moment = original = base + milliseconds[ms]
                sent_text, received_text = (
                    base + milliseconds[sent % 1000],
                    base + milliseconds[received % 1000],
                )
            else:
                if received > END:
                    sent = received = END
                moment, original, received_text = iso(at), iso(at + skew), iso(received)
                sent_text = iso(sent + skew)
            line = (
                f'{{"messageId":"{message_id}",{call},{who},"{key}":{body},{context},"timestamp":"{moment}",'
                f'"originalTimestamp":"{original}","sentAt":"{sent_text}","receivedAt":"{received_text}"}}\n'
            )
            lines.append((received, line.encode()))
            if chance >> 16 < _REPEATED_BELOW:
                self._repeat(random, line, sent + skew, received)
        self.accepted += len(messages)
        self.events_by_name[event] = self.events_by_name.get(event, 0) + len(messages)
        return message_id

    def _repeat(self, random: Random, line: str, sent: int, received: int) -> None:
        """The client saw no answer and sends the same message again: seconds or, rarely, days later."""
        pause = int(random.random() * (3 * DAY if random.random() < 0.1 else 10 * MINUTE)) + 1000
        if received + pause > END:
            return
        message = line[: line.rindex('"sentAt"')]
        again = (
            f'{message}"sentAt":"{self.iso(sent + pause)}","receivedAt":"{self.iso(received + pause)}"}}\n'
        )
        self.lines.append((received + pause, again.encode()))
        self.repeated += 1


def identity(user_id: str | None, anonymous_id: str | None) -> str:
    """Who a message is of, as JSON members; our ids need no escaping. At least one is given."""
    user = "" if user_id is None else f'"userId":"{user_id}"'
    device = "" if anonymous_id is None else f'"anonymousId":"{anonymous_id}"'
    return f"{user},{device}" if user and device else user or device


def encode(body: Any) -> str:
    """JSON text of a body or a part of one."""
    return orjson.dumps(body).decode()


def message_uuid(random: Random) -> str:
    """A random UUID, version 4."""
    text = f"{random.getrandbits(128):032x}"
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"


def open_session(random: Random, at: int, channel: Channel) -> Session:
    """A visit starts: some devices have a wrong clock, some send late, some visits follow a newsletter."""
    campaign = ""
    if random.random() < 0.05:
        name = f"newsletter_{datetime.fromtimestamp(at // 1000, tz=UTC):%Y_%m}"
        campaign = f',"campaign":{{"name":"{name}","source":"newsletter","medium":"email"}}'
    advertising = "true" if random.random() < 0.6 else "false"
    context = (
        f'{_LIBRARY_TEXTS[channel]},"sessionId":"{random.getrandbits(60):015x}","locale":"en-GB",'
        f'"consent":{{"categoryPreferences":{{"analytics":true,"advertising":{advertising}}}}}{campaign}}}'
    )
    skew = delay = 0
    draw = random.random()
    if draw < _SKEWED_SHARE:
        skew = pick(random, (-1, 1)) * int(30_000 + random.random() * 2 * HOUR)
    elif draw < _SKEWED_SHARE + _LATE_SHARE and at < END - 3 * DAY:
        delay = int(random.random() * 36 * HOUR)
    return Session(_ID_PREFIXES[channel], f'{context},"channel":"{channel}"', skew, delay)


# The context of a message up to its library, still open.
_LIBRARY_TEXTS: Final = {
    name: f'"context":{{"library":{encode(library)}' for name, library in _LIBRARIES.items()
}
# Messages of the shop's own back end: no device, no delay.
SERVER: Final = Session(_ID_PREFIXES["server"], f'{_LIBRARY_TEXTS["server"]}}},"channel":"server"')
