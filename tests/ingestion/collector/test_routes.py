"""Every wire format is taken as real SDKs send it, and each message stands in the log as it was sent."""

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from ingestion.records import Parts
from tests.ingestion.collector.server import Running, gzipped
from tests.ingestion.messages import message, raw

CAPTURED = [
    json.loads(line) for line in (Path(__file__).parent / "sdk_requests.jsonl").read_text().splitlines()
]
SHORT = {"t": "track", "i": "identify", "p": "page", "s": "screen", "g": "group", "a": "alias"}


def found(collector: Running, event_id: str) -> Parts:
    """The one record of the log with this id in it."""
    (parts,) = [parts for parts in collector.received() if event_id.encode() in parts.raw]
    return parts


@pytest.mark.parametrize("captured", CAPTURED, ids=lambda captured: captured["h"].get("User-Agent"))
def test_a_request_of_a_real_sdk_is_taken_message_by_message(
    collector: Running, captured: dict[str, Any]
) -> None:
    headers = {name: value for name, value in captured["h"].items() if name not in ("Host", "Content-Length")}
    headers = {
        name: value for name, value in headers.items() if name.lower() not in ("host", "content-length")
    }
    given = json.loads(captured["body"])
    if "Authorization" in headers:
        headers["Authorization"] = "Basic " + base64.b64encode(f"{collector.key}:".encode()).decode()
    elif "api_key" in given:
        given["api_key"] = collector.key
    else:
        given["data"][0]["aid"] = collector.key
    messages = given.get("batch", given.get("data"))
    ids = [item.get("messageId") or item.get("uuid") or item.get("eid") for item in messages]
    body = gzipped(given) if headers.get("Content-Encoding") == "gzip" else json.dumps(given).encode()
    path = captured["p"].removeprefix("/custom/prefix")
    answer = httpx.post(collector.url + path, content=body, headers=headers)
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    for event_id, sent in zip(ids, messages, strict=True):
        assert found(collector, event_id).raw == json.dumps(sent).encode()


@pytest.mark.parametrize("path", ["/v1/{}", "/{}"])
@pytest.mark.parametrize("short", SHORT)
def test_the_short_paths_of_the_browser_sdk_say_the_call(collector: Running, path: str, short: str) -> None:
    event_id = f"short-{path.count('/')}-{short}"
    sent = {"messageId": event_id, "writeKey": collector.key, "type": SHORT[short]}
    headers = {"Content-Type": "text/plain", "Origin": "https://shop.example"}
    answer = collector.post(path.format(short), sent, key=None, headers=headers)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert orjson.loads(found(collector, event_id).raw)["type"] == SHORT[short]


def test_a_message_that_does_not_say_its_call_gets_that_of_the_path(collector: Running) -> None:
    assert collector.post("/v1/track", message("untyped", type=...)).status_code == 200
    assert found(collector, "untyped").note["call"] == "track"
    assert collector.post("/v1/identify", message("says-it")).status_code == 200
    assert "call" not in found(collector, "says-it").note


def test_a_browser_may_ask_before_it_sends_and_is_pointed_to_this_host(collector: Running) -> None:
    asks = {
        "Origin": "https://shop.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    preflight = httpx.options(collector.url + "/v1/t", headers=asks)
    assert preflight.status_code == 200
    assert "authorization" in preflight.headers["access-control-allow-headers"]
    settings = httpx.get(f"{collector.url}/v1/projects/{collector.key}/settings").json()
    sends_to = settings["integrations"]["Segment.io"]
    assert f"{sends_to['protocol']}://{sends_to['apiHost']}" == f"{collector.url}/v1"
    assert httpx.get(f"{collector.url}/v1/projects/wrong/settings").status_code == 401


def test_the_note_says_what_only_the_request_knew_and_no_message_can_forge_it(collector: Running) -> None:
    sent_at = datetime.now(tz=UTC) - timedelta(hours=2)
    forged = message("noted", _collector={"wire": "cdp", "allowed": True, "sent_at": "2001-01-01T00:00:00Z"})
    body = {"batch": [forged], "sentAt": sent_at.isoformat()}
    collector.post("/v1/batch", body, headers={"Sec-GPC": "1"})
    read = found(collector, "noted").note
    assert read.pop("key").startswith("k_")
    expected = sent_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert read == {"wire": "segment", "sent_at": expected, "gpc": True}


def test_line_feeds_between_tokens_become_spaces_and_nothing_else_changes(collector: Running) -> None:
    sent = json.dumps(message("pretty"), indent=2).encode()
    assert collector.post("/v1/track", b"\r\n " + sent + b"\n\n").status_code == 200
    assert found(collector, "pretty").raw == sent.replace(b"\n", b" ")


def test_an_item_that_is_no_message_is_kept_too_and_harms_no_other(collector: Running) -> None:
    body = b'{"batch":[' + raw("beside-1") + b',"beside-2",[],{},null]}'
    assert collector.post("/v1/batch", body).status_code == 200
    lines = [parts.raw for parts in collector.received()]
    after = lines[lines.index(found(collector, "beside-1").raw) :][:5]
    assert after[1:] == [b'"beside-2"', b"[]", b"{}", b"null"]


@pytest.mark.parametrize(
    ("path", "body", "route_takes"),
    [
        ("/v1/batch", b'{"marker":"u-1","batch":', "json"),
        ("/v1/batch", b'{"marker":"u-2","batch":{}}', "an array"),
        ("/v1/batch", raw("u-3"), "a batch"),
        ("/v1/track", b'["u-4"]', "an object"),
        ("/batch/", b'{"marker":"u-5"}', "a batch"),
        ("/com.snowplowanalytics.snowplow/tp2", b'{"marker":"u-6"}', "data"),
        ("/v1/events", b'{"marker":"u-7"}', "an event"),
        ("/v1/batch", b'{"batch":[' + raw("u-10") + b'],"batch":[]}', "one batch"),
        ("/v1/batch", b'{"b\\u0061tch":[' + raw("u-11") + b'],"batch":[]}', "one batch"),
        ("/batch/", b'{"batch":[' + raw("u-12") + b'],"batch":[{}]}', "one batch"),
        ("/com.snowplowanalytics.snowplow/tp2", b'{"data":[{"aid":"u-13"}],"data":[]}', "one data"),
        ("/v1/events", b'{"events":[{"marker":"u-14"}],"events":[]}', "one list"),
        ("/v1/batch", b"u-8 \xff\xfe\nnot json", "json"),
        ("/v1/batch", gzipped({"batch": [message("u-9")]})[:-12], "a whole gzip"),
    ],
)
def test_a_body_that_cannot_be_read_is_kept_and_refused_for_good(
    collector: Running, path: str, body: bytes, route_takes: str
) -> None:
    before = len(collector.received())
    answer = collector.post(path, body)
    assert answer.status_code == 400, route_takes
    assert len(collector.received()) == before + 1


def test_a_message_may_hold_the_key_of_a_batch_too(collector: Running) -> None:
    inner = raw("batched", properties={"sku": "1", "batch": "A\\u0061", "more": {"batch": [1]}})
    assert collector.post("/v1/batch", b'{"batch":[' + inner + b"]}").status_code == 200
    assert found(collector, "batched").raw == inner


def test_an_empty_batch_is_a_success_and_leaves_nothing(collector: Running) -> None:
    before = len(collector.received())
    assert collector.post("/v1/batch", {"batch": []}).status_code == 200
    assert len(collector.received()) == before


def test_it_says_whether_it_lives_is_ready_and_what_it_counted(collector: Running) -> None:
    collector.post("/v1/track", message("counted"))
    assert httpx.get(collector.url + "/readyz").json() == {"success": True}
    shown = httpx.get(collector.url + "/metrics").text
    assert 'cdp_collector_requests_total{route="track",status="200",worker="1"}' in shown
    assert 'cdp_collector_messages_total{wire="segment",worker="1"}' in shown
    assert "cdp_collector_commit_seconds_bucket" in shown
    assert collector.key not in shown


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/v1/batch", 405), ("POST", "/nowhere", 404)])
def test_what_is_no_route_is_refused(collector: Running, method: str, path: str, status: int) -> None:
    assert httpx.request(method, collector.url + path).status_code == status
