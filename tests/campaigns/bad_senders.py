"""Bad senders: wrong keys and signatures, ids used before, and connections that stall or break HTTP."""

import base64
import hashlib
import hmac
import json
import secrets
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import httpx

from ingestion.collector.keys import NOTICED_SECONDS, KeyFile
from ingestion.collector.webhooks import SecretWebhook, Webhook
from tests.campaigns.bad_inputs import MIB, ODD_NAMES
from tests.campaigns.ways_in import ID, TRACK, BadInput, Door, Outcome, aside, event, refused, taken
from tests.ingestion.collector.destinations import MAILER, TEXTER, signed

# Without a header for the id, so that the signed body itself is what makes a repetition known.
PAGER = SecretWebhook(
    Webhook(
        destination="pager",
        verifier="hmac_sha256",
        secrets=("PAGER",),
        header="X-Signature",
        prefix="sha256=",
    ),
    ("another secret",),
)
DESTINATIONS = (MAILER, TEXTER, PAGER)
# More than the slowest of many samples may differ on a busy machine, less than a hash or a disk costs.
SAME_TIME = 1.5
SAMPLES = 150


def keys() -> Iterator[BadInput]:
    """Whatever is wrong with a key, the answer is the same and nothing is kept."""
    no_key = refused(401)

    def sent(
        name: str,
        key: Callable[[Door], str | None],
        expected: Outcome = no_key,
        *,
        headers: Callable[[Door], Mapping[str, str | bytes]] = lambda _: {},
        path: str = TRACK,
        body: bytes = event(),
    ) -> BadInput:
        def send(door: Door) -> str:
            where = path.replace("@key", door.collector.key)
            content = door.named(body).replace(b"@key", door.collector.key.encode())
            return str(door.post(where, content, key=key(door), headers=headers(door)).status_code)

        return BadInput(f"S1 {name}", f"POST {TRACK}", send, expected)

    def nobody(_: Door) -> None:
        return None

    yield sent("no key", nobody)
    yield sent("an empty key", lambda _: "")
    yield sent("a wrong key", lambda _: "wk_" + secrets.token_urlsafe(32))
    yield sent("a key without its last character", lambda door: door.collector.key[:-1])
    yield sent("a key in capitals", lambda door: door.collector.key.upper())
    yield sent("a key with a blank", lambda door: door.collector.key + " ")
    yield sent("a key of another deployment", _key_of_another_deployment)
    yield sent("a revoked key", _revoked)
    yield sent("an expired key", _expired)
    yield sent("a key's hash in place of the key", lambda door: door.collector.keys.read()[0].sha256)
    yield sent("a key of 100 kB", lambda _: "k" * 100_000)
    yield sent("a key in the query", nobody, path=f"{TRACK}?writeKey=@key")
    yield sent(
        "a key as Bearer", nobody, headers=lambda door: {"Authorization": f"Bearer {door.collector.key}"}
    )
    no_base64 = {"Authorization": b"Basic \xff\xfe!"}
    yield sent("Basic that is no base64", nobody, headers=lambda _: no_base64)
    no_text = {"Authorization": "Basic " + base64.b64encode(b"\xff\xfe:").decode()}
    yield sent("Basic that is no UTF-8", nobody, headers=lambda _: no_text)
    right_inside = event()[:-1] + b',"writeKey":"@key"}'
    yield sent("a wrong key, the right one in the body", lambda _: "wrong", body=right_inside)
    yield sent("a key as a list in the body", nobody, body=event()[:-1] + b',"writeKey":["@key"]}')
    yield sent("a surrogate as the key in the body", nobody, body=event()[:-1] + b',"writeKey":"\\ud800"}')
    yield sent("no key, and no JSON", nobody, body=b"not json")
    yield sent("a key of another source", _of_another_source, aside("UNKNOWN_EVENT"))
    yield sent("a key limited to other events", _limited, aside("EVENT_NOT_ALLOWED"))
    huge = b"POST /v1/track HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nX-Write-Key: " + b"k" * MIB
    yield BadInput(
        "S1 a key of 1 MB", "socket", lambda door: door.spoken([huge, b"\r\n\r\n{}"]), refused("hung up")
    )
    yield BadInput("S1 wrong keys, by the clock", f"POST {TRACK}", _timed, refused("401 in the same time"))
    yield from _odd_names("key", "GET settings", _asking_settings)


def webhooks() -> Iterator[BadInput]:
    """A report of a destination is believed with its signature, once, for five minutes."""

    def sent(name: str, expected: Outcome, *sends: Callable[[Door], httpx.Response]) -> BadInput:
        def send(door: Door) -> str:
            return " ".join(str(each(door).status_code) for each in sends)

        return BadInput(f"S4 {name}", "webhook", send, expected)

    def mailed(
        *,
        minutes: float = 0,
        body: bytes = _report(),
        given: bytes | None = None,
        to: str = "/v1/webhooks/mailer",
        changed: Mapping[str, str | bytes] | None = None,
    ) -> Callable[[Door], httpx.Response]:
        def send(door: Door) -> httpx.Response:
            headers = signed(
                body, message_id=door.event_id, at=datetime.now(tz=UTC) + timedelta(minutes=minutes)
            )
            return door.post(to, given or body, key=None, headers={**headers, **(changed or {})})

        return send

    def texted(
        *, delivery: str = ID, given: bytes | None = None, to: str = "texter"
    ) -> Callable[[Door], httpx.Response]:
        def send(door: Door) -> httpx.Response:
            body = _report(user_id=door.event_id)
            signature = hmac.new(TEXTER.values[0].encode(), body, hashlib.sha256).hexdigest()
            delivered = delivery.replace(ID, door.event_id)
            headers = {"X-Hub-Signature-256": f"sha256={signature}", "X-GitHub-Delivery": delivered}
            return door.post(f"/v1/webhooks/{to}", given or body, key=None, headers=headers)

        return send

    no = refused(401)
    twice = Outcome("200 200", 2, (ID,), duplicates=1)
    conflict = Outcome("200 200", 2, (ID,), codes={"CONFLICTING_DUPLICATE": 1})
    other = _report(user_id="other")
    yield sent("signed (allowed)", taken(), mailed())
    yield sent("the same signed body twice", twice, mailed(), mailed())
    yield sent("id reused with other body", conflict, mailed(), mailed(body=other))
    for minutes, expected in ((-6, no), (-4, taken()), (4, taken()), (6, no)):
        yield sent(f"a signature {minutes:+} min from now", expected, mailed(minutes=minutes))
    yield sent("body changed, signature kept", no, mailed(given=other))
    yield sent("a blank after the body", no, mailed(given=_report() + b" "))
    yield sent("id changed, signature kept", no, mailed(changed={"webhook-id": "other"}))
    yield sent(
        "time changed, signature kept", no, mailed(changed={"webhook-timestamp": f"{time.time():.0f}0"})
    )
    for odd in ("nan", "-1", "9" * 400, "", "1e3"):
        yield sent(f"timestamp {odd[:9]!r}", no, mailed(changed={"webhook-timestamp": odd}))
    for given in ("", "v1", "v1,", "v1a,AAAA", "none", b"v1,\xe9"):
        yield sent(f"signature {given!r}", no, mailed(changed={"webhook-signature": given}))
    yield sent("no signature", no, lambda door: door.post("/v1/webhooks/mailer", _report(), key=None))
    yield sent("to another destination", no, mailed(to="/v1/webhooks/texter"))
    yield sent("to a destination that is none", no, mailed(to="/v1/webhooks/nobody"))
    yield sent("to a route of events", no, mailed(to=TRACK))
    yield sent("a signed body that is no JSON", aside("MALFORMED_JSON"), mailed(body=b"\x00 no json"))
    yield sent("a signed array", aside("NOT_AN_OBJECT"), mailed(body=b"[1]"))
    yield sent(
        "a signed unknown event",
        aside("UNKNOWN_EVENT"),
        mailed(body=b'{"type":"x","data":{"user_id":"u"},"timestamp":"2010-12-01T08:26:00Z"}'),
    )
    yield sent("GitHub's form, twice", twice, texted(), texted())
    # GitHub signs no id: whoever has seen a message can repeat it as a new one. A webhook without `id_header`
    # does not trust the id.
    both = Outcome("200 200", 2, (ID, f"{ID}-2"))
    again = texted(delivery=f"{ID}-2")
    yield sent("GitHub's form, repeated under another id (allowed)", both, texted(), again)
    paged = _report(user_id="paged")
    known = Outcome("200 200", 2, (f"sha256:{hashlib.sha256(paged).hexdigest()}",), duplicates=1)
    yield sent("HMAC alone, repeated", known, _paging(paged), _paging(paged))
    yield sent("GitHub's form, body changed", no, texted(given=other))
    yield sent("GitHub's form, to another destination", no, texted(to="mailer"))
    yield from _odd_names("destination", "webhook", _reporting_to)


def repeats() -> Iterator[BadInput]:
    """The id of an event that was loaded before."""

    def loaded_before(door: Door) -> None:
        door.post(TRACK, door.named(event()))
        door.collector.house.load()

    def send(body: bytes) -> Callable[[Door], str]:
        return lambda door: str(door.post(TRACK, door.named(body)).status_code)

    again = Outcome("200", 1, duplicates=1)
    other = event(properties={"sku": "other"})
    way = f"POST {TRACK}"
    yield BadInput("S4 an event again, after its load", way, send(event()), again, prepare=loaded_before)
    conflict = aside("CONFLICTING_DUPLICATE")
    yield BadInput("S4 its id with other content", way, send(other), conflict, prepare=loaded_before)


def senders() -> Iterator[BadInput]:
    """Slow senders, and those that break the rules of HTTP."""

    def head(door: Door, more: bytes) -> bytes:
        return b"POST /v1/track HTTP/1.1\r\nHost: x\r\nX-Write-Key: %b\r\n%b" % (
            door.collector.key.encode(),
            more,
        )

    def saying(more: bytes) -> Callable[[Door], str]:
        return lambda door: door.spoken([head(door, more)])

    def slow_body(door: Door) -> str:
        return door.spoken([head(door, b"Content-Length: 9999\r\n\r\n{")], drip=b" ")

    def slow_head(door: Door) -> str:
        return door.spoken([head(door, b"X-A: ")], drip=b"a")

    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"

    def endless(door: Door) -> str:
        return door.spoken([head(door, b"Transfer-Encoding: chunked\r\n\r\n"), *[chunk] * 200])

    def chunked(door: Door) -> str:
        body = door.named(event())
        last = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        return door.spoken([head(door, b"Transfer-Encoding: chunked\r\n\r\n"), last])

    def half(door: Door) -> str:
        return door.left([head(door, b"Content-Length: 9999\r\n\r\n"), door.named(event())])

    yield BadInput("S2 chunked, without a length (allowed)", "socket", chunked, taken())
    yield BadInput("S2 chunked, without an end", "socket", endless, refused(413))
    yield BadInput("S2 slow body", "socket", slow_body, refused(408), collector={"read_seconds": 0.3})
    yield BadInput("S2 slow head", "socket", slow_head, refused("hung up"))
    yield BadInput("S2 hangs up within the body", "socket", half, refused("no answer"))
    for name, more in (
        (
            "Content-Length and Transfer-Encoding",
            b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        ("two lengths", b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}    "),
        ("a negative length", b"Content-Length: -5\r\n\r\n"),
        ("a length of 40 digits", b"Content-Length: " + b"9" * 40 + b"\r\n\r\n"),
        ("a chunk without a size", b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
        ("NUL in a header", b"X-A: \x00\r\nContent-Length: 0\r\n\r\n"),
    ):
        yield BadInput(f"S2 {name}", "socket", saying(more), refused(400))
    large = saying(b"Content-Length: 9999999999999\r\n\r\n")
    yield BadInput("S2 a length of 10 TB", "socket", large, refused(413))


def bad_senders() -> list[BadInput]:
    """All of them."""
    return [*keys(), *webhooks(), *repeats(), *senders()]


def _key_of_another_deployment(door: Door) -> str:
    other = KeyFile(door.collector.house.folder / "archives" / "other" / "write_keys.json")
    return other.create("web", datetime.now(tz=UTC)).secret


def _revoked(door: Door) -> str:
    now = datetime.now(tz=UTC)
    new = door.collector.keys.create("web", now)
    door.collector.keys.revoke(new.key.key_id, now)
    return _noticed(new.secret)


def _expired(door: Door) -> str:
    now = datetime.now(tz=UTC)
    new = door.collector.keys.create("web", now)
    door.collector.keys.rotate(new.key.key_id, now, timedelta(0))
    return _noticed(new.secret)


def _noticed(secret: str) -> str:
    """The secret, once the collector has looked at its keys again."""
    time.sleep(NOTICED_SECONDS + 0.1)
    return secret


def _of_another_source(door: Door) -> str:
    return door.collector.keys.create("operator", datetime.now(tz=UTC)).secret


def _limited(door: Door) -> str:
    return door.collector.keys.create("web", datetime.now(tz=UTC), ("Signed Up",)).secret


def _timed(door: Door) -> str:
    """Refuse four kinds of wrong keys in turn, and compare how long the median of each took."""
    good = door.collector.key
    wrong = (good[:-1] + "_", good[:10] + "_" * (len(good) - 10), "_" * len(good), _revoked(door))
    took: dict[str, list[float]] = {key: [] for key in wrong}
    with httpx.Client() as client:
        for _ in range(SAMPLES):
            for key in wrong:
                begun = time.perf_counter()
                answer = client.post(door.collector.url + TRACK, content=event(), auth=(key, ""))
                took[key].append(time.perf_counter() - begun)
                if answer.status_code != 401:
                    return str(answer.status_code)
    medians = [statistics.median(each) for each in took.values()]
    if max(medians) < SAME_TIME * min(medians):
        return "401 in the same time"
    return "401 in " + ", ".join(f"{each * 1000:.2f}" for each in medians) + " ms"


def _odd_names(what: str, way: str, send: Callable[[str], Callable[[Door], str]]) -> Iterator[BadInput]:
    for odd in ODD_NAMES:
        yield BadInput(f"S19 {what} {odd[:16]!r}", way, send(odd), refused(404 if "/" in odd else 401))


def _asking_settings(key: str) -> Callable[[Door], str]:
    path = f"/v1/projects/{quote(key, safe='')}/settings"
    return lambda door: str(httpx.get(door.collector.url + path).status_code)


def _reporting_to(destination: str) -> Callable[[Door], str]:
    path = f"/v1/webhooks/{quote(destination, safe='')}"
    return lambda door: str(door.post(path, _report(), key=None, headers=signed(_report())).status_code)


def _paging(body: bytes) -> Callable[[Door], httpx.Response]:
    signature = hmac.new(PAGER.values[0].encode(), body, hashlib.sha256).hexdigest()
    headers = {"X-Signature": f"sha256={signature}"}
    return lambda door: door.post("/v1/webhooks/pager", body, key=None, headers=headers)


def _report(**changes: str) -> bytes:
    """What a destination says, in the form that the sources of the campaign map to a contract."""
    data = {"sku": "85123A", "user_id": "u-1", **changes}
    return json.dumps({"type": "email.bounced", "timestamp": "2010-12-01T08:26:00Z", "data": data}).encode()
