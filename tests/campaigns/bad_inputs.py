"""Bad lines and bodies, one request or one file each, and what must become of them.

The areas S1 to S4 and S19 are those of a reviewer's list of attacks. Keys, signatures and connections are in
`bad_senders.py`, disks and segments in `bad_storage.py`.
"""

import zlib
from collections.abc import Iterator
from datetime import datetime, timedelta

from tests.campaigns.ways_in import (
    ID,
    BadInput,
    Outcome,
    archived,
    aside,
    batch,
    both,
    event,
    own,
    packed,
    posted,
    refused,
    taken,
)

MIB = 1024 * 1024
EMPTY_REASONS = "UNKNOWN_EVENT+MISSING_EVENT_ID+MISSING_IDENTITY+BAD_TIMESTAMP"
# Names that break paths, SQL, terminals or file systems; facts may be called so, places may not.
ODD_NAMES = (
    "../../etc/passwd",
    "'; drop table x; --",
    "CON",
    "n" * 300,
    "\U0001f6d2",
    "dot.",
    "Case",
    "case",
)


def not_json() -> Iterator[BadInput]:
    malformed = aside("MALFORMED_JSON", answer=400)
    yield from both("words", b"not json", malformed)
    yield from both("half an object", event()[:-1], malformed)
    yield from both("two objects in a row", event() + event(), malformed)
    yield from both("a comma too many", event(old='"context":{}', new=b'"context":{},'), malformed)
    yield from both("single quotes", event().replace(b'"', b"'"), malformed)
    yield from both("a comment", event() + b"/* */", malformed)
    yield from both("a byte order mark", b"\xef\xbb\xbf" + event(), malformed)
    yield from both("white space only", b"   ", malformed)
    yield from both("a tab in a string", event(old="12345", new=b"1\t2"), malformed)
    yield from both("a carriage return in a string", event(old="12345", new=b"1\r2"), malformed)
    yield posted(
        "a line feed in a string",
        event(old="12345", new=b"1\n2"),
        aside("UNREADABLE_REQUEST", answer=400),
    )
    yield from both("UTF-32", event().decode().encode("utf-32-be"), malformed)
    yield from both("UTF-16", event().decode().encode("utf-16"), aside("INVALID_ENCODING", answer=400))
    for name, line in (("an array", b"[]"), ("a text", b'"text"'), ("a number", b"42"), ("null", b"null")):
        yield from both(name, line, aside("NOT_AN_OBJECT", answer=400))
    yield posted("an empty body", b"", refused(400))
    yield archived("an empty line", b"\n", aside("MALFORMED_JSON", answer="imported 1"))


def characters() -> Iterator[BadInput]:
    malformed = aside("MALFORMED_JSON", answer=400)
    coded = aside("INVALID_ENCODING")
    yield from both("NUL escaped, in the id", event(event_id=f"{ID}\0"), taken(f"{ID}\0"))
    yield from both("NUL escaped, in userId", event(userId="u\0"), taken())
    yield from both("NUL escaped, in a property", event(properties={"sku": "a\0b", "\0": 1}), taken())
    yield from both("NUL raw, in a string", event(old="12345", new=b"1\x00"), malformed)
    yield from both("NUL raw, after the object", event() + b"\x00", malformed)
    yield from both("surrogate \\ud800 alone, in a value", event(old="12345", new=b"\\ud800"), malformed)
    yield from both("surrogate \\ud800 alone, as a key", event(old="sku", new=b"\\ud800"), malformed)
    yield from both("surrogates in the wrong order", event(old="12345", new=b"\\ude00\\ud83d"), malformed)
    yield from both("surrogate as raw bytes", event(old="12345", new=b"\xed\xa0\x80"), coded)
    yield from both("Latin-1", event(old="12345", new=b"caf\xe9"), coded)
    yield from both("overlong UTF-8", event(old="12345", new=b"\xc0\x80"), coded)
    yield from both("byte 0xff", event(old="12345", new=b"\xff"), coded)
    yield from both(
        "RTL mark and zero width in ids", event(event_id=f"{ID}\u202e\u200b"), taken(f"{ID}\u202e\u200b")
    )
    for name, number in (
        ("path", 0),
        ("SQL", 1),
        ("device", 2),
        ("300 characters", 3),
        ("emoji", 4),
        ("dot", 5),
    ):
        odd = ODD_NAMES[number]
        yield posted(f"S19 {name} as ids", event(event_id=f"{ID} {odd}", userId=odd), taken(f"{ID} {odd}"))
    cases = batch(event(event_id=f"{ID}-Case"), event(event_id=f"{ID}-case"))
    yield posted(
        "S19 ids that differ by case", cases, taken(f"{ID}-Case", f"{ID}-case", kept=2), path="/v1/batch"
    )


def nested() -> Iterator[BadInput]:
    malformed = aside("MALFORMED_JSON", answer=400)
    x = {"sku": "85123A", "x": 0}

    def deep(levels: int, opened: bytes = b"[", closed: bytes = b"]", inner: bytes = b"") -> bytes:
        return event(properties=x, old='"x":0', new=b'"x":' + opened * levels + inner + closed * levels)

    yield from both("200 levels (allowed)", deep(200), taken())
    for levels in (300, 900):
        yield from both(f"{levels} levels in a property", deep(levels), aside("TOO_DEEP"))
    consent = event(context={"consent": 0}, old='"consent":0', new=b'"consent":' + b"[" * 300 + b"]" * 300)
    yield from both("300 levels in context.consent", consent, aside("TOO_DEEP"))
    as_ours = own(properties=x).replace(b'"x": 0', b'"x":' + b"[" * 300 + b"]" * 300)
    yield posted("300 levels in our envelope", as_ours, aside("TOO_DEEP"), path="/v1/events")
    yield from both("10,000 arrays in a property", deep(10_000), malformed)
    yield from both("10,000 objects in a property", deep(10_000, b'{"a":', b"}", b"1"), malformed)
    yield from both("10,000 arrays and nothing else", b"[" * 10_000 + b"]" * 10_000, malformed)
    yield from both("10,000 objects and nothing else", b'{"a":' * 10_000 + b"1" + b"}" * 10_000, malformed)
    yield from both("100,000 arrays never closed", b"[" * 100_000, malformed)
    yield posted(
        "10,000 arrays as a batch", batch(b"[" * 10_000 + b"]" * 10_000), malformed, path="/v1/batch"
    )


def keys_twice() -> Iterator[BadInput]:
    """The last of two equal keys counts, for the contract and for what is stored (decision 0003).

    Twice the key that holds the messages is another thing: those of the first would vanish behind a 200.
    """
    twice = event()[:-1]
    yield from both("messageId twice", event(event_id="first")[:-1] + b',"messageId":"@id"}', taken())
    yield from both("userId twice, the last blank", twice + b',"userId":" "}', aside("MISSING_IDENTITY"))
    yield from both("type twice, the last unknown", twice + b',"type":"x"}', aside("UNKNOWN_EVENT"))
    yield from both(
        "properties twice, the last empty", twice + b',"properties":{}}', aside("INVALID_PROPERTIES")
    )
    last_bad = event(old='"sku":"85123A"', new=b'"sku":"85123A","sku":7')
    yield from both("a property twice, the last bad", last_bad, aside("INVALID_PROPERTIES"))
    last_good = event(old='"sku":"85123A"', new=b'"sku":7,"sku":"85123A"')
    yield from both("a property twice, the last good", last_good, taken())
    for path, key in (("/v1/batch", b"batch"), ("/v1/events", b"events")):
        one = own() if key == b"events" else event()
        body = b'{"%b":[%b],"%b":[]}' % (key, one, key)
        unreadable = aside("UNREADABLE_REQUEST", answer=400)
        yield posted(f"{key.decode()} twice, the last empty", body, unreadable, path=path)


def numbers() -> Iterator[BadInput]:
    priced = {"sku": "85123A", "price": 1}
    for number in (b"NaN", b"Infinity", b"-Infinity", b"01", b"1.", b"0x1", b"+1"):
        line = event(properties=priced, old='"price":1', new=b'"price":' + number)
        yield from both(f"{number.decode()} as price", line, aside("MALFORMED_JSON", answer=400))
    for name, number in (("1e999", b"1e999"), ("-1e999", b"-1e999"), ("5,000 digits", b"9" * 5000)):
        line = event(properties=priced, old='"price":1', new=b'"price":' + number)
        yield from both(f"{name} as price", line, aside("MALFORMED_JSON"))
        line = event(context={"n": 1}, old='"n":1', new=b'"n":' + number)
        yield from both(f"{name} where no rule looks", line, aside("MALFORMED_JSON"))
    yield from both("1e308 as price (allowed)", event(properties={**priced, "price": 1e308}), taken())
    yield from both(
        "-0.01 as price", event(properties={**priced, "price": -0.01}), aside("INVALID_PROPERTIES")
    )
    yield from both("30 digits as price (allowed)", event(properties={**priced, "price": 10**30}), taken())
    yield from both("30 digits as userId", event(userId=10**30), aside("MISSING_IDENTITY"))
    yield from both("30 digits as messageId", event(event_id=10**30), aside("MISSING_EVENT_ID"))
    yield from both("a number as timestamp", event(timestamp=1291192000), aside("BAD_TIMESTAMP"))


def times(now: datetime) -> Iterator[BadInput]:
    bad, out = aside("BAD_TIMESTAMP"), aside("CLOCK_OUT_OF_RANGE")
    for name, time, expected in (
        ("year 0000", "0000-01-01T00:00:00Z", bad),
        ("year 0001", "0001-01-01T00:00:00Z", out),
        ("year 0001, before it in UTC", "0001-01-01T00:00:00+14:00", out),
        ("year 1999", "1999-12-31T23:59:59.999Z", out),
        ("year 9999", "9999-12-31T23:59:59.999Z", out),
        ("year 9999, after it in UTC", "9999-12-31T23:59:59.999-12:00", out),
        ("year 10000", "10000-01-01T00:00:00Z", bad),
        ("30 February", "2010-02-30T00:00:00Z", bad),
        ("nonsense", "last tuesday", bad),
        ("no zone", "2010-12-01T08:26:00", bad),
        ("NUL", "2010-12-01\0", bad),
    ):
        yield from both(f"timestamp: {name}", event(timestamp=time), expected)
    for hours, found in ((23, taken()), (25, out)):
        sent = (now + timedelta(hours=hours)).isoformat()
        yield posted(f"timestamp: {hours} h from now", event(timestamp=sent), found)
        stood = f"2010-12-02T{9 + hours - 24:02}:00:00Z"
        outcome = Outcome("imported 1", 1, found.accepted, 0, found.codes)
        yield archived(f"timestamp: {hours} h after receipt", event(timestamp=stood), outcome)
    for year in ("0001-01-01", "9999-12-31"):
        yield posted(f"sentAt: {year[:4]}", event(sentAt=f"{year}T00:00:00.000Z"), out)
    yield posted("sentAt: no such day", event(sentAt="2010-99-99T00:00:00.000Z"), taken())


def received_times() -> Iterator[BadInput]:
    """Only archives say when a message was received; what cannot be used counts as not said."""
    good = Outcome("imported 1", 1, (ID,))
    out = aside("CLOCK_OUT_OF_RANGE", answer="imported 1")
    for name, time in (
        ("a week date", "2010-W48-3T08:26:00.000Z"),
        ("a line feed inside", "2010-12-01\n08:26:00.000Z"),
        ("a tab inside", "2010-12-01\t08:26:00.000Z"),
        ("NUL inside", "2010-12-01\x0008:26:00.000Z"),
        ("é inside", "2010-12-01é08:26:00.000Z"),
        ("after year 9999 in UTC", "9999-12-31T23:59:59.999-12:00"),
        ("nonsense", "last tuesday"),
        ("a number", 7),
    ):
        yield archived(f"receivedAt: {name}", event(receivedAt=time), good)
    early, late = "0001-01-01T00:00:00.000Z", "9999-12-31T00:00:00.000Z"
    yield archived("receivedAt: year 0001", event(receivedAt=early), out)
    yield archived("receivedAt and timestamp: year 9999", event(receivedAt=late, timestamp=late), out)
    tab = [event(properties={"sku": sku}, receivedAt="2010-12-01\t08:26:00.000Z") for sku in ("1", "2")]
    conflict = Outcome("imported 2", 2, (ID,), codes={"CONFLICTING_DUPLICATE": 1})
    yield archived("receivedAt: a tab inside, id reused", b"\n".join(tab), conflict)


def files() -> Iterator[BadInput]:
    line = event(receivedAt="2010-12-01T08:26:01.000Z")
    good = Outcome("imported 1", 1, (ID,))
    yield archived("an empty file", b"", refused("imported 0"))
    yield archived("CRLF line ends", line + b"\r\n", good)
    yield archived("no end of the last line", line, good)
    yield archived(
        "a file that was cut",
        line + b"\n" + line[:-9],
        Outcome("imported 2", 2, (ID,), codes={"MALFORMED_JSON": 1}),
    )
    yield archived(
        "a byte order mark first", b"\xef\xbb\xbf" + line, aside("MALFORMED_JSON", answer="imported 1")
    )
    yield archived(
        "packed by gzip", packed(line * 2).replace(b"\n", b""), aside("INVALID_ENCODING", answer="imported 1")
    )
    yield archived("no time of receipt at all", event(), refused("RejectedInputError"), received_at=None)
    for odd in ODD_NAMES[:-1]:
        rejected = refused("RejectedInputError")
        yield archived(f"S19 source {odd[:20]!r}", line, rejected, source=odd)


def messages() -> Iterator[BadInput]:
    for name, value in (
        ("missing", ...),
        ("null", None),
        ("empty", ""),
        ("white space", " \t\u00a0\u3000"),
        ("zero width only", "\u200b\ufeff"),
        ("NUL only", "\0"),
        ("an object", {"id": "1"}),
        ("an array", ["1"]),
        ("true", True),
    ):
        yield from both(f"userId: {name}", event(userId=value), aside("MISSING_IDENTITY"))
    for name, value in (("missing", ...), ("blank", " "), ("an object", {})):
        yield from both(f"messageId: {name}", event(event_id="m", messageId=value), aside("MISSING_EVENT_ID"))
    for name, changes in (
        ("unknown", {"event": "Wishlist Shared"}),
        ("in lower case", {"event": "product viewed"}),
        ("missing", {"event": ...}),
        ("an array", {"event": ["Product Viewed"]}),
        ("of an unknown call", {"type": "purchase"}),
        ("reserved for operators", {"event": "Quarantine Discarded"}),
    ):
        yield from both(f"event: {name}", event(**changes), aside("UNKNOWN_EVENT"))
    yield from both("properties: an array", event(properties=[]), aside("INVALID_PROPERTIES"))
    yield from both("properties: none", event(properties=...), aside("INVALID_PROPERTIES"))
    yield from both("all is wrong at once", b"{}", aside(EMPTY_REASONS))
    for version in ("9.0.0", "1", "", "../1.0.0"):
        one = own(version=version)
        yield posted(f"version {version!r}", one, aside("UNKNOWN_VERSION"), path="/v1/events")
    yield posted("version as a number", own(version=1), aside("UNKNOWN_VERSION"), path="/v1/events")
    for odd in ODD_NAMES[:-1]:
        one = own(event_name=odd)
        yield posted(f"S19 event_name {odd[:16]!r}", one, aside("UNKNOWN_EVENT"), path="/v1/events")


def sizes() -> Iterator[BadInput]:
    too_large, large = refused(413), aside("OVERSIZE")
    yield posted("10 MB of spaces", b" " * (10 * MIB), too_large)
    yield posted("10 MB event", event(properties={"sku": "x" * 10 * MIB}), too_large)
    yield archived(
        "10 MB event", event(properties={"sku": "x" * 10 * MIB}), aside("OVERSIZE", answer="imported 1")
    )
    yield from both("2 MB event", event(properties={"sku": "x" * 2 * MIB}), large)
    yield from both("2 MB id", event(event_id="i" * 2 * MIB), large)
    many = {"sku": "85123A", **{str(number): 0 for number in range(100_000)}}
    yield from both("100,000 keys in 1 MiB (allowed)", event(properties=many), taken())
    yield from both("100,000 keys in more", event(properties={**many, "x": "y" * MIB}), large)
    yield posted("100,000 events in a batch", batch(*[b"{}"] * 100_000), too_large, path="/v1/batch")
    most = aside(EMPTY_REASONS, count=20_000)
    yield posted("20,000 empty events in a batch", batch(*[b"{}"] * 20_000), most, path="/v1/batch")
    held = Outcome("200", 1_500, codes={EMPTY_REASONS: 1_499, "BATCH_HELD": 1})
    yield posted(
        "1 good event among 1,499 bad ones", batch(event(), *[b"{}"] * 1_499), held, path="/v1/batch"
    )


def batches() -> Iterator[BadInput]:
    yield posted("an empty batch", b'{"batch":[]}', refused(200), path="/v1/batch")
    mixed = batch(event(), b'"text"', b"[]", b"42", b"null", b"true", b"{}")
    some = Outcome("200", 7, (ID,), codes={"NOT_AN_OBJECT": 5, EMPTY_REASONS: 1})
    yield posted("a batch of non-objects", mixed, some, path="/v1/batch")
    unread = aside("UNREADABLE_REQUEST", answer=400)
    yield posted("a batch that is an object", b'{"batch":{}}', unread, path="/v1/batch")
    yield posted("a batch that is null", b'{"batch":null}', unread, path="/v1/batch")
    yield posted("no batch", event(), unread, path="/v1/batch")
    yield posted("events that are a text", b'{"events":"x"}', unread, path="/v1/events")
    bad_inside = aside("MALFORMED_JSON", answer=400)
    yield posted("a batch with NaN inside", batch(event(), b"NaN"), bad_inside, path="/v1/batch")
    late = batch(event(), event(event_id="x", old="12345", new=b"\xff"), event(event_id=f"{ID}-2"))
    beside = Outcome("200", 3, (ID, f"{ID}-2"), codes={"INVALID_ENCODING": 1})
    yield posted("invalid UTF-8 between good events", late, beside, path="/v1/batch")
    twice = batch(event(), event())
    yield posted("an event twice in a batch", twice, taken(kept=2, duplicates=1), path="/v1/batch")
    other = batch(event(), event(properties={"sku": "other"}))
    conflict = Outcome("200", 2, (ID,), codes={"CONFLICTING_DUPLICATE": 1})
    yield posted("an id twice with other content", other, conflict, path="/v1/batch")


def packings() -> Iterator[BadInput]:
    good, unread = taken(), aside("UNREADABLE_REQUEST", answer=400)
    too_large, binary = refused(413), aside("INVALID_ENCODING", answer=400)

    def gz(name: str, expected: Outcome, body: bytes = event(), **options: object) -> BadInput:
        return posted(f"S3 {name}", body, expected, pack=options.pop("pack", packed), **options)  # type: ignore[arg-type]

    says = {"Content-Encoding": "gzip"}
    yield gz("gzip (allowed)", good)
    yield gz("bomb, 10 MB of zeroes", too_large, b"\0" * (10 * MIB))
    yield gz("bomb around a good event", too_large, event() + b" " * (10 * MIB))
    yield gz("bomb under the limit of size", too_large, event() + b" " * (2 * MIB))
    yield gz("bomb of 10 MB in 10 members", too_large, b"", pack=lambda _: packed(b"\0" * MIB) * 10)
    yield gz("100,000 empty members", too_large, b"", pack=lambda _: packed(b"") * 100_000)
    yield gz("50 empty members and a good one", good, pack=lambda body: packed(b"") * 50 + packed(body))
    yield gz("an event in two members", good, pack=lambda body: packed(body[:40]) + packed(body[40:]))
    yield gz("zeroes after the end", good, pack=lambda body: packed(body) + b"\0" * 512)
    yield gz("junk after the end", unread, pack=lambda body: packed(body) + b"junk")
    yield gz("gzip in gzip", binary, pack=lambda body: packed(packed(body)))
    yield gz("a bomb in gzip in gzip", binary, b"\0" * (10 * MIB), pack=lambda body: packed(packed(body)))
    yield gz("the last byte missing", unread, pack=lambda body: packed(body)[:-1])
    yield gz("half of it", aside("MALFORMED_JSON", answer=400), pack=lambda body: packed(body * 9)[:120])
    yield gz("a wrong checksum", binary, pack=lambda body: packed(body)[:-8] + b"\0" * 8)
    yield gz("its first two bytes only", binary, pack=lambda _: b"\x1f\x8b")
    yield gz("an empty member", refused(400), b"")
    yield gz("no gzip, Content-Encoding: gzip", good, pack=bytes, headers=says)
    yield gz(
        "Content-Encoding: br",
        binary,
        pack=lambda _: b"\x8b\x02\x80x\x03",
        headers={"Content-Encoding": "br"},
    )
    yield gz("Content-Encoding: deflate", binary, pack=zlib.compress, headers={"Content-Encoding": "deflate"})


def bad_inputs(now: datetime) -> list[BadInput]:
    """All of them; `now` is the time around which those of the near future lie."""
    return [
        *not_json(),
        *characters(),
        *nested(),
        *keys_twice(),
        *numbers(),
        *times(now),
        *received_times(),
        *files(),
        *messages(),
        *sizes(),
        *batches(),
        *packings(),
    ]
