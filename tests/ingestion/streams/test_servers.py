"""Consumers of a real Kafka-protocol broker and of moto's Kinesis, killed and restarted in the middle."""

import asyncio
import contextlib
import io
import json
import random
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import fastavro
import pytest
from moto.server import ThreadedMotoServer

from ingestion.event_log import EventLog
from tests.ingestion.messages import House
from tests.ingestion.streams.broker import Registry, create_topic, kafka_broker, producer
from tests.ingestion.streams.test_decoding import AVRO, SCHEMA, VIEW

SECONDS = 120.0
CHILD = "tests.ingestion.streams.consume_child"


def event(number: int) -> dict[str, Any]:
    return {**VIEW, "event_id": f"v-{number}", "properties": {"sku": str(number)}}


def avro(number: int) -> bytes:
    body = io.BytesIO()
    fastavro.schemaless_writer(body, SCHEMA, {**event(number), "occurred_at": 1_291_192_000_000_000})
    return struct.pack(">bI", 0, 7) + body.getvalue()


@pytest.fixture(scope="module")
def broker() -> Iterator[str]:
    with kafka_broker() as address:
        yield address


@pytest.fixture
def registry() -> Iterator[Registry]:
    found = Registry()
    found.schemas[7] = {"schema": json.dumps(AVRO)}
    yield found
    found.close()


class Consumers:
    """`cdp consume` as processes that can be killed."""

    def __init__(self, folder: Path, kind: str) -> None:
        self._folder = folder
        self._kind = kind
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> subprocess.Popen[bytes]:
        with (self._folder / "consumer.log").open("ab") as output:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "tests.ingestion.streams.consume_child",
                    str(self._folder),
                    self._kind,
                ],
                stdout=output,
                stderr=output,
            )
        self.processes.append(process)
        return process

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait(10)


@pytest.fixture
def consumers(house: House) -> Iterator[Callable[[str, str], Consumers]]:
    made: list[Consumers] = []

    def make(kind: str, declared: str) -> Consumers:
        (house.folder / "streams.yml").write_text(f"streams: [{{name: clicks, source: web, {declared}}}]")
        made.append(Consumers(house.folder, kind))
        return made[-1]

    yield make
    for each in made:
        each.end()


def lines_in(log: EventLog) -> int:
    return sum(part.lines for batch in log.unread({}) for part in batch.slices)


def wait_for(house: House, lines: int) -> None:
    """Until the log holds so many lines; fails with what the consumers said when it never does."""
    end = time.monotonic() + SECONDS
    while lines_in(house.log) < lines:
        said = house.folder / "consumer.log"
        assert time.monotonic() < end, f"{lines_in(house.log)} of {lines}: {said.read_text()[-3000:]}"
        time.sleep(0.1)


def kafka(address: str, topic: str, kind: str = "json", more: str = "") -> str:
    where = f"bootstrap_servers: ['{address}'], topics: [{topic}], group: g-{topic}"
    return f"kind: kafka, format: {kind}, {where}{more}"


def send(address: str, topic: str, values: list[bytes | None], pause: float = 0.0) -> None:
    async def run() -> None:
        async with producer(address) as to:
            for number, value in enumerate(values):
                await to.send(topic, value, key=str(number).encode(), partition=number % 2)
                if pause and number % 20 == 0:
                    await asyncio.sleep(pause)

    asyncio.run(run())


def exactly_once(house: House, count: int) -> None:
    """Every event of the stream is in the warehouse once, and nothing stands in the log twice."""
    report = house.load()
    assert house.rows("select count(*), count(distinct event_id) from raw.events") == [(count, count)]
    assert (report.received, report.accepted, report.duplicates, report.quarantined) == (count, count, 0, 0)


def test_what_a_topic_holds_is_in_the_warehouse(
    house: House, broker: str, registry: Registry, consumers: Callable[[str, str], Consumers]
) -> None:
    create_topic(broker, "mixed")
    good = [avro(number) for number in range(20)]
    bad: list[bytes | None] = [None, b"plain", struct.pack(">bI", 0, 8) + b"x", good[0][:-1]]
    registry.is_down = True
    send(broker, "mixed", [*good, *bad])
    schemas = f", schema_registry: {{url: '{registry.url}'}}"
    running = consumers("kafka", kafka(broker, "mixed", "avro", schemas))
    process = running.start()
    while registry.asked < 2:
        time.sleep(0.1)
    assert lines_in(house.log) == 0
    registry.is_down = False
    wait_for(house, 24)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert "24 messages are in the event log" in (house.folder / "consumer.log").read_text()
    report = house.load()
    assert (report.accepted, report.by_code) == (20, {"UNREADABLE_MESSAGE": 4})


@pytest.mark.slow
def test_two_consumers_share_a_topic_and_one_takes_over(
    house: House, broker: str, consumers: Callable[[str, str], Consumers]
) -> None:
    create_topic(broker, "shared")
    running = consumers("kafka", kafka(broker, "shared"))
    first = running.start()
    send(broker, "shared", [json.dumps(event(number)).encode() for number in range(50)])
    wait_for(house, 50)
    running.start()
    send(broker, "shared", [json.dumps(event(number)).encode() for number in range(50, 150)], pause=0.5)
    first.send_signal(signal.SIGTERM)
    send(broker, "shared", [json.dumps(event(number)).encode() for number in range(150, 200)])
    wait_for(house, 200)
    exactly_once(house, 200)


def kill_and_restart(
    house: House, running: Consumers, feed: Callable[[int], None], *, kills: int, seed: int
) -> None:
    """Feed 100 messages between kills at random moments."""
    chance = random.Random(seed)
    process = running.start()
    for number in range(kills):
        feed(100 * number)
        time.sleep(chance.uniform(0.0, 1.5))
        process.kill()
        process.wait(10)
        process = running.start()
    feed(100 * kills)
    wait_for(house, 100 * (kills + 1))
    time.sleep(1.5)
    exactly_once(house, 100 * (kills + 1))


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(3, marks=pytest.mark.slow),
        pytest.param(40, marks=[pytest.mark.long, pytest.mark.timeout(1200)]),
    ],
)
def test_a_kafka_consumer_that_is_killed_loses_and_doubles_nothing(
    house: House, broker: str, consumers: Callable[[str, str], Consumers], kills: int
) -> None:
    topic = f"killed{kills}"
    create_topic(broker, topic)

    def feed(first: int) -> None:
        send(broker, topic, [json.dumps(event(number)).encode() for number in range(first, first + 100)])

    kill_and_restart(house, consumers("kafka", kafka(broker, topic)), feed, kills=kills, seed=kills)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def kinesis_client(url: str) -> Any:
    return boto3.client(
        "kinesis",
        region_name="eu-west-1",
        endpoint_url=url,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


def put(client: Any, stream: str, numbers: range) -> None:
    records = [
        {"Data": json.dumps(event(number)).encode(), "PartitionKey": str(number)} for number in numbers
    ]
    answer = client.put_records(StreamName=stream, Records=records)
    assert answer["FailedRecordCount"] == 0


def kinesis(url: str, stream: str) -> str:
    return f"kind: kinesis, format: json, stream: {stream}, region: eu-west-1, endpoint_url: '{url}'"


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(2, marks=pytest.mark.slow),
        pytest.param(40, marks=[pytest.mark.long, pytest.mark.timeout(1200)]),
    ],
)
def test_a_kinesis_consumer_that_is_killed_loses_and_doubles_nothing(
    house: House, aws: str, consumers: Callable[[str, str], Consumers], kills: int
) -> None:
    client, stream = kinesis_client(aws), f"killed{kills}"
    client.create_stream(StreamName=stream, ShardCount=2)

    def feed(first: int) -> None:
        put(client, stream, range(first, first + 100))

    kill_and_restart(house, consumers("kinesis", kinesis(aws, stream)), feed, kills=kills, seed=kills)


@pytest.mark.slow
def test_shards_that_are_split_and_merged_are_read_to_their_ends(
    house: House, aws: str, consumers: Callable[[str, str], Consumers]
) -> None:
    client = kinesis_client(aws)
    client.create_stream(StreamName="resharded", ShardCount=1)
    running = consumers("kinesis", kinesis(aws, "resharded"))
    put(client, "resharded", range(50))
    process = running.start()
    wait_for(house, 50)
    [shard] = client.list_shards(StreamName="resharded")["Shards"]
    client.split_shard(StreamName="resharded", ShardToSplit=shard["ShardId"], NewStartingHashKey=str(2**127))
    put(client, "resharded", range(50, 100))
    wait_for(house, 100)
    process.kill()
    process.wait(10)
    open_shards = [
        each["ShardId"]
        for each in client.list_shards(StreamName="resharded")["Shards"]
        if "EndingSequenceNumber" not in each["SequenceNumberRange"]
    ]
    client.merge_shards(
        StreamName="resharded", ShardToMerge=open_shards[0], AdjacentShardToMerge=open_shards[1]
    )
    put(client, "resharded", range(100, 150))
    running.start()
    wait_for(house, 150)
    exactly_once(house, 150)


def test_a_stream_that_is_not_there_is_named(
    house: House, aws: str, consumers: Callable[[str, str], Consumers]
) -> None:
    process = consumers("kinesis", kinesis(aws, "nowhere")).start()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(30)
    assert process.returncode == 1
    assert "There is no Kinesis stream 'nowhere' in eu-west-1" in (house.folder / "consumer.log").read_text()
