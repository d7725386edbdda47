"""What a person told us stands where facts stand: in no log line, metric, error or metadata."""

import asyncio
import base64
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import httpx
import orjson
import pytest

from ingestion.records import Record
from ingestion.streams.decoding import Decoder
from ingestion.streams.protocol import Message
from tests.ingestion.collector.server import running
from tests.ingestion.messages import NOW, House, message

CANARY = "zz-canary-91d2"
EMAIL = f"{CANARY}@example.test"
# Facts and what stands for them on the way: the log, the warehouse.
MEANT = ("event_log/", "warehouse.duckdb")


def found_in(folder: Path) -> set[str]:
    """The files under a folder that hold the canary, plain or in base64, by their path in it."""
    needles = [CANARY.encode(), base64.b64encode(CANARY.encode())[:-2]]
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and any(needle in path.read_bytes() for needle in needles)
    }


def is_meant(path: str) -> bool:
    return path.startswith(MEANT)


def test_the_canary_of_every_way_in_is_only_where_facts_stand(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    house = House(tmp_path / "house")
    person = {"email": EMAIL, "firstName": CANARY, "country": "DE"}
    broken = {**person, "country": CANARY}
    with running(house) as collector:
        answers = [
            collector.post("/v1/track", message("good", "Signed Up", properties=person)),
            collector.post("/v1/track", message("bad", "Signed Up", properties=broken)),
            collector.post("/v1/identify", {**message("id"), "type": "identify", "traits": person}),
            collector.post("/v1/batch", {"batch": [message(CANARY, userId=None, anonymousId=CANARY)]}),
            collector.post("/v1/batch", b'{"batch": "' + CANARY.encode()),
            collector.post("/v1/events", {"event_name": CANARY, "user_id": EMAIL}),
            collector.post("/v1/track", message(), key=CANARY),
            collector.post(f"/v1/webhooks/{CANARY}", {"type": "x"}),
        ]
        metrics = httpx.get(collector.url + "/metrics").text
    decoder = Decoder("clicks", "cdp", is_avro=False, schemas=None)
    stream = [orjson.dumps({"event_name": "signed_up", "properties": person}), CANARY.encode()]
    read = [asyncio.run(decoder.read(Message("p", at, value))) for at, value in enumerate(stream)]
    house.log.append(Record(NOW, "web", raw, note) for note, raw in read)
    (tmp_path / "archive.jsonl").write_bytes(
        orjson.dumps(message("a", userId=EMAIL, receivedAt="2010-12-01T09:00:00.000Z", properties={})) + b"\n"
    )
    house.log.import_archive(tmp_path / "archive.jsonl", "web", now=datetime.now(UTC))
    report = house.load()
    (tmp_path / "archive.jsonl").unlink()

    said = "".join((*capfd.readouterr(), metrics, *(answer.text for answer in answers), str(report)))
    assert CANARY not in said
    assert report.quarantined >= 5
    assert report.accepted >= 2
    places = found_in(house.folder)
    assert [path for path in places if is_meant(path)]
    assert [path for path in places if not is_meant(path)] == []
    masked = house.rows("select reasons, expected, found, path, code from raw.events_quarantined")
    assert CANARY not in json.dumps(masked)


@pytest.mark.long
def test_the_canary_reaches_no_file_of_dagster_dbt_or_dlt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole run over a folder of events, one of them sound and one broken."""
    events = tmp_path / "events"
    events.mkdir()
    person = {"email": EMAIL, "country": "DE"}
    sound = message("good", "Signed Up", receivedAt="2010-12-01T09:00:00.000Z", properties=person)
    broken = {**sound, "messageId": "bad", "properties": {**person, "country": CANARY}}
    (events / "day.jsonl").write_bytes(orjson.dumps(sound) + b"\n" + orjson.dumps(broken) + b"\n")
    home = tmp_path / "home"
    monkeypatch.setenv("CDP_HOME", str(home))
    monkeypatch.setenv("CDP_EVENTS_DIR", str(events))
    done = subprocess.run(
        [str(Path(sys.executable).parent / "cdp"), "run", "--as-of", "2010-12-10"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert CANARY not in done.stdout + done.stderr
    meant = (
        "event_log/",
        "warehouse.duckdb",
        "snapshot/",
        "destinations/",
        "ledger.sqlite",
        "sandbox.sqlite",
    )
    places = found_in(home)
    assert [path for path in places if path.startswith("warehouse.duckdb")]
    assert [path for path in places if not path.startswith(meant)] == []
