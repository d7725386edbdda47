"""Who may send is decided by keys of which only hashes are kept; running collectors follow every change."""

import stat
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from ingestion.collector.keys import NOTICED_SECONDS, KeyFile, KeyRing
from ingestion.errors import FatalIngestionError, RejectedInputError
from tests.ingestion.collector.server import Running, running
from tests.ingestion.messages import NOW, House, message

NOTICED = NOTICED_SECONDS + 0.1


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "collector" / "write_keys.json")


def test_a_key_is_kept_as_its_hash_in_a_file_for_its_owner_only(file: KeyFile) -> None:
    new = file.create("web", NOW)
    assert new.secret not in file.path.read_text()
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert [key.source for key in file.read()] == ["web"]


def test_a_replaced_key_stays_good_for_its_grace_and_no_longer(file: KeyFile) -> None:
    old = file.create("web", NOW, ("Signed Up",))
    new = file.rotate(old.key.key_id, NOW, timedelta(days=7))
    assert (new.key.source, new.key.events) == ("web", ("Signed Up",))
    for later, taken in ((timedelta(days=6, hours=23), True), (timedelta(days=7), False)):
        now = NOW + later
        ring = KeyRing(file, lambda now=now: now)
        assert (ring.find(old.secret) is not None) is taken
        assert ring.find(new.secret) is not None


def test_a_revoked_key_can_be_neither_used_nor_replaced(file: KeyFile) -> None:
    new = file.create("web", NOW)
    file.revoke(new.key.key_id, NOW)
    assert KeyRing(file, lambda: NOW).find(new.secret) is None
    with pytest.raises(RejectedInputError, match="revoked and cannot be replaced; make a new one"):
        file.rotate(new.key.key_id, NOW)
    with pytest.raises(RejectedInputError, match="no write key 'k_absent'"):
        file.revoke("k_absent", NOW)


def test_a_broken_file_stops_the_commands_but_not_the_senders(
    file: KeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    new = file.create("web", NOW)
    ring = KeyRing(file, lambda: NOW)
    assert ring.find(new.secret) is not None
    file.path.write_text("{")
    now[0] += 1
    assert ring.find(new.secret) is not None
    assert not ring.is_sound
    with pytest.raises(FatalIngestionError, match="restore the file from its copy"):
        file.read()


def test_whatever_is_wrong_with_a_key_the_answer_is_the_same(collector: Running) -> None:
    now = datetime.now(tz=UTC)
    revoked, expired = collector.keys.create("web", now), collector.keys.create("web", now)
    collector.keys.revoke(revoked.key.key_id, now)
    collector.keys.rotate(expired.key.key_id, now, timedelta(0))
    time.sleep(NOTICED)  # the collector looks at its keys this often
    body = message("refused")
    answers = [
        collector.post("/v1/track", body, key=None),
        collector.post("/v1/track", body, key=""),
        collector.post("/v1/track", body, key="wrong"),
        collector.post("/v1/track", body, key=revoked.secret),
        collector.post("/v1/track", body, key=expired.secret),
        collector.post("/v1/track", body, key="k" * 100_000),
        collector.post("/v1/track", body, key=collector.key[:-1]),
        collector.post(f"/v1/track?writeKey={collector.key}", body, key=None),
        collector.post("/v1/track", {**body, "writeKey": "wrong"}, key=None),
        collector.post("/v1/track", {**body, "writeKey": collector.key}, key="wrong"),
        collector.post("/v1/track", {**body, "writeKey": [collector.key]}, key=None),
        collector.post("/v1/track", b"not json", key=None),
        collector.post("/v1/track", body, key=None, headers={"Authorization": b"Basic \xff\xfe!"}),
        collector.post("/v1/track", body, key=None, headers={"Authorization": f"Bearer {collector.key}"}),
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert not [line for _, _, _, line in collector.received() if b'"refused"' in line]


@pytest.mark.parametrize("place", ["basic", "header", "body"])
def test_a_key_may_come_in_each_of_its_places(collector: Running, place: str) -> None:
    body = message(f"key-in-{place}", **({"writeKey": collector.key} if place == "body" else {}))
    headers = {"x-write-key": collector.key} if place == "header" else {}
    key = collector.key if place == "basic" else None
    assert collector.post("/v1/track", body, key=key, headers=headers).status_code == 200


def test_a_running_collector_follows_new_replaced_and_revoked_keys(collector: Running) -> None:
    new = collector.keys.create("operator", datetime.now(tz=UTC))
    assert collector.post("/v1/track", message("live-1"), key=new.secret).status_code == 200
    newer = collector.keys.rotate(new.key.key_id, datetime.now(tz=UTC))
    assert collector.post("/v1/track", message("live-2"), key=newer.secret).status_code == 200
    assert collector.post("/v1/track", message("live-3"), key=new.secret).status_code == 200
    collector.keys.revoke(new.key.key_id, datetime.now(tz=UTC))
    time.sleep(NOTICED)
    assert collector.post("/v1/track", message("live-4"), key=new.secret).status_code == 401
    sources = [source for _, source, _, line in collector.received() if b'"live-' in line]
    assert sources == ["operator"] * 3


def test_a_key_for_some_events_takes_the_others_too_but_marks_them(collector: Running) -> None:
    """SDKs could do nothing about a refusal; quarantine shows it to a person."""
    limited = collector.keys.create("web", datetime.now(tz=UTC), ("Signed Up", "identify"))
    batch = [
        message("limited-1", event="Signed Up"),
        message("limited-2", type="identify"),
        message("limited-3", event="Order Completed"),
        message("limited-4", type=["track"]),
    ]
    assert collector.post("/v1/batch", {"batch": batch}, key=limited.secret).status_code == 200
    marks = [parts.note.get("allowed", True) for parts in collector.received() if b'"limited-' in parts.raw]
    assert marks == [True, True, False, False]


def test_no_key_is_written_anywhere_by_the_collector(collector: Running) -> None:
    collector.post("/v1/track", message("secretless"))
    httpx.get(f"{collector.url}/v1/projects/{collector.key}/settings")
    for path in collector.house.folder.rglob("*"):
        if path.is_file() and "event_log" not in path.parts:
            assert collector.key not in path.read_text()


@pytest.mark.parametrize("state", ["broken", "missing"])
def test_while_the_keys_cannot_be_read_no_key_is_called_wrong(house: House, state: str) -> None:
    with running(house) as collector:
        path = collector.keys.path
        good = path.read_bytes()
        assert collector.post("/v1/track", message("before")).status_code == 200
        if state == "broken":
            path.write_text("{")
        else:
            path.unlink()
        unknown = collector.post("/v1/track", message("perhaps"), key="wk_perhaps")
        assert (unknown.status_code, unknown.headers["Retry-After"]) == (503, "5")
        assert collector.post("/v1/track", message("during")).status_code == 200
        path.write_bytes(good)
        assert collector.post("/v1/track", message("after"), key="wk_perhaps").status_code == 401


@pytest.mark.parametrize("content", [None, "{"])
def test_a_file_that_was_never_readable_refuses_nobody_for_good(file: KeyFile, content: str | None) -> None:
    file.path.parent.mkdir(parents=True)
    if content is not None:
        file.path.write_text(content)
    ring = KeyRing(file, lambda: NOW)
    assert ring.find("wk_any") is None
    assert not ring.is_sound
