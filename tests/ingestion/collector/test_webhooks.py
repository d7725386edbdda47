"""What a destination reports is believed only with its signature, and kept as it was sent."""

import hashlib
import hmac
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from ingestion.collector.verifiers.standard_webhooks import StandardWebhooks
from ingestion.collector.webhooks import Webhooks, load_webhooks
from ingestion.errors import FatalIngestionError
from ingestion.registry import CONTRACTS_FOLDER, load_registry
from tests.ingestion.collector.destinations import BODY, MAILER, NEW, OLD, TEXTER, signed
from tests.ingestion.collector.server import Running, gzipped, running
from tests.ingestion.messages import House

SOURCES = """
sources:
  - {name: mailer, description: Mail., owner: {team: t, contact: c}, events: %s}
  - {name: texter, description: Text., owner: {team: t, contact: c}, events: []}
"""
MAPPED = "[{call: webhook, event: email.bounced, contract: product_viewed, major: 1}]"


@pytest.fixture(scope="module")
def reporting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(House(tmp_path_factory.mktemp("webhooks")), webhooks=(MAILER, TEXTER)) as started:
        yield started


def report(
    collector: Running, headers: dict[str, str], body: bytes = BODY, to: str = "mailer"
) -> httpx.Response:
    return httpx.post(f"{collector.url}/v1/webhooks/{to}", content=body, headers=headers, timeout=20)


def registry(tmp_path: Path, events: str = "[]"):  # type: ignore[no-untyped-def]  # the registry as it is
    (tmp_path / "sources.yml").write_text(SOURCES % events)
    return load_registry(CONTRACTS_FOLDER, tmp_path / "sources.yml")


@pytest.mark.parametrize("secret", [OLD, NEW])
def test_each_valid_secret_opens_and_the_body_is_kept_as_sent(reporting: Running, secret: str) -> None:
    name = f"msg_{secret}"
    assert report(reporting, signed(secret=secret, message_id=name)).status_code == 200
    (parts,) = [parts for parts in reporting.received() if parts.note.get("id") == name]
    assert parts.source == "mailer"
    assert parts.raw == BODY.replace(b"\n", b" ")
    assert parts.note == {"wire": "webhook", "key": "mailer", "id": name}


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, BODY),
        (signed(secret="whsec_b3RoZXI="), BODY),
        (signed(), BODY + b" "),
        ({**signed(), "webhook-id": "msg_2"}, BODY),
        ({**signed(), "webhook-timestamp": "1"}, BODY),
        ({**signed(), "webhook-timestamp": "nan"}, BODY),
        ({**signed(), "webhook-signature": "v1,"}, BODY),
        ({**signed(), "webhook-signature": "v1"}, BODY),
        ({**signed(), "webhook-signature": "v1,\xe9".encode("latin-1")}, BODY),
        ({**signed(), "webhook-signature": "v1a,AAAA"}, BODY),
        (signed(), b"\xff\xfe"),
    ],
)
def test_what_is_not_signed_is_refused_and_not_kept(
    reporting: Running, headers: dict[str, str], body: bytes
) -> None:
    before = len(reporting.received())
    refused, unknown = report(reporting, headers, body), report(reporting, headers, body, to="nobody")
    assert (refused.status_code, unknown.status_code) == (401, 401)
    assert refused.content == unknown.content
    assert len(reporting.received()) == before


@pytest.mark.parametrize(("minutes", "status"), [(-6, 401), (-4, 200), (4, 200), (6, 401)])
def test_a_signature_is_good_for_five_minutes(reporting: Running, minutes: int, status: int) -> None:
    at = datetime.now(tz=UTC) + timedelta(minutes=minutes)
    assert report(reporting, signed(at=at)).status_code == status


def test_a_plain_hmac_in_a_header_is_checked_too(reporting: Running) -> None:
    secret = TEXTER.values[0].encode()
    good = "sha256=" + hmac.new(secret, BODY, hashlib.sha256).hexdigest()
    headers = {"X-Hub-Signature-256": good, "X-GitHub-Delivery": "d-1"}
    assert report(reporting, headers, to="texter").status_code == 200
    assert report(reporting, {"X-Hub-Signature-256": good[7:]}, to="texter").status_code == 401
    assert report(reporting, headers, b"{}", to="texter").status_code == 401
    ids = [parts.note["id"] for parts in reporting.received() if parts.source == "texter"]
    assert ids == ["d-1"]


def test_the_example_of_github_is_verified() -> None:
    """docs.github.com, Validating webhook deliveries, "Testing the webhook payload validation"."""
    given = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    found = Webhooks((TEXTER,)).delivery_id("texter", {"x-hub-signature-256": given}, b"Hello, World!")
    assert found is not None
    assert found.startswith("sha256:")


def test_a_webhook_waits_in_quarantine_until_a_contract_maps_it(house: House, tmp_path: Path) -> None:
    body = BODY.replace(b'"user_id"', b'"sku": "85123A", "user_id"').replace(
        b"2026-11-24T09:00:00Z", f"{datetime.now(tz=UTC):%Y-%m-%dT%H:%M:%SZ}".encode()
    )
    with running(house, webhooks=(MAILER, TEXTER)) as collector:
        assert report(collector, signed(body), body).status_code == 200
        assert report(collector, signed(b"[1]", message_id="msg_2"), b"[1]").status_code == 200
    found = house.load(registry(tmp_path))
    assert (found.accepted, found.by_code) == (0, {"UNKNOWN_EVENT": 1, "NOT_AN_OBJECT": 1})
    ((raw_line, event_name),) = house.rows(
        "select raw_line, event_name from raw.events_quarantined where code = 'UNKNOWN_EVENT'"
    )
    assert raw_line == body.decode().replace("\n", " ")
    assert event_name == "email.bounced"


def test_a_repeated_id_is_kept_and_counted_as_a_duplicate(house: House, tmp_path: Path) -> None:
    body = BODY.replace(b'"user_id"', b'"sku": "85123A", "user_id"').replace(
        b"2026-11-24T09:00:00Z", f"{datetime.now(tz=UTC):%Y-%m-%dT%H:%M:%SZ}".encode()
    )
    with running(house, webhooks=(MAILER,)) as collector:
        for _ in range(2):
            assert report(collector, signed(body), body).status_code == 200
    found = house.load(registry(tmp_path, MAPPED))
    assert (found.received, found.accepted, found.duplicates) == (2, 1, 1)
    assert house.rows("select event_id, user_id from raw.events") == [("msg_1", "u-1")]


def test_a_packed_body_is_unpacked_after_its_signature_is_checked(reporting: Running) -> None:
    packed = gzipped(BODY)
    headers = {
        "X-Hub-Signature-256": "sha256="
        + hmac.new(TEXTER.values[0].encode(), packed, hashlib.sha256).hexdigest(),
        "X-GitHub-Delivery": "packed",
    }
    assert report(reporting, headers, packed, to="texter").status_code == 200
    taken = [parts for parts in reporting.received() if parts.note.get("id") == "packed"]
    assert [parts.raw for parts in taken] == [BODY.replace(b"\n", b" ")]


def test_secrets_stand_on_no_command_line(reporting: Running) -> None:
    for worker in reporting.workers():
        line = Path(f"/proc/{worker}/cmdline").read_bytes()
        assert OLD.encode() not in line
        assert TEXTER.values[0].encode() not in line
    assert OLD not in repr(MAILER)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("webhooks: [{destination: mailer}]", "key 'webhooks.0.verifier' is wrong"),
        ("webhooks: [{destination: else, verifier: standard_webhooks, secrets: [A]}]", "'else' is no source"),
        ("webhooks: [{destination: mailer, verifier: hmac_sha256, secrets: [A]}]", "needs 'header'"),
        ("webhooks: [{destination: mailer, verifier: standard_webhooks, secrets: [A]}]", "cannot be used"),
        ("webhooks: [", "cannot be read as YAML"),
    ],
)
def test_a_wrong_webhook_file_is_refused_without_its_secrets(
    tmp_path: Path, text: str, complaint: str
) -> None:
    path = tmp_path / "webhooks.yml"
    path.write_text(text)
    with pytest.raises(FatalIngestionError, match=complaint) as raised:
        load_webhooks(path, frozenset({"mailer"}), lambda _: "whsec_x")
    assert "whsec_x" not in str(raised.value)


def test_an_unknown_destination_costs_the_same_check(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[bytes] = []
    monkeypatch.setattr(StandardWebhooks, "delivery_id", lambda _, __, body: checked.append(body))
    for destination in ("mailer", "nobody"):
        assert Webhooks((MAILER,)).delivery_id(destination, signed(), BODY) is None
    assert checked == [BODY, BODY]
