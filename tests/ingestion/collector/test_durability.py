"""What was answered with success is on the disk, once, whatever happens to the processes."""

import fcntl
import os
import signal
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import httpx
import orjson
import pytest

from tests.ingestion.collector.server import Running, running
from tests.ingestion.messages import House, message

SENDERS = 4
# Longer than what the supervisor takes for a failed start, so that kills do not look like one.
BETWEEN_KILLS = 1.3


class Senders:
    """Threads that send one message after another, never the same twice, and remember what was confirmed."""

    def __init__(self, collector: Running) -> None:
        self.confirmed: list[str] = []
        self.failed = 0
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._send, args=(collector, number)) for number in range(SENDERS)
        ]

    def __enter__(self) -> "Senders":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _send(self, collector: Running, sender: int) -> None:
        with httpx.Client(base_url=collector.url, auth=(collector.key, ""), timeout=20) as client:
            number = 0
            while not self._stop.is_set():
                ids = [f"kill-{sender}-{number + place}" for place in range(3)]
                number += 3
                try:
                    answer = client.post("/v1/batch", json={"batch": [message(each) for each in ids]})
                    answer.raise_for_status()
                    self.confirmed += ids
                except httpx.HTTPError:
                    self.failed += 1


def kill_under_load(house: House, kills: int) -> None:
    with running(house, workers=2) as collector:
        with Senders(collector) as senders:
            for number in range(kills):
                time.sleep(BETWEEN_KILLS)
                os.kill(collector.workers()[number % 2], signal.SIGKILL)
            time.sleep(BETWEEN_KILLS)
        times = Counter(orjson.loads(line)["messageId"] for _, _, _, line in collector.received())
    assert len(senders.confirmed) > 50 * kills
    assert {each: times[each] for each in senders.confirmed if times[each] != 1} == {}


def test_a_killed_worker_loses_nothing_that_was_confirmed(house: House) -> None:
    kill_under_load(house, 5)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_hundred_killed_workers_lose_nothing_that_was_confirmed(house: House) -> None:
    kill_under_load(house, 100)


def test_workers_end_with_a_parent_that_is_killed(house: House) -> None:
    with running(house, workers=2) as collector:
        workers = collector.workers()
        assert len(workers) == 2
        os.kill(collector.process.pid, signal.SIGKILL)
        until = time.monotonic() + 10
        while any(is_alive(worker) for worker in workers):
            assert time.monotonic() < until
            time.sleep(0.05)


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_what_is_under_way_is_answered_before_it_stops(house: House) -> None:
    with running(house) as collector:
        answers: list[int] = []

        def slow_body() -> object:
            yield b'{"batch":['
            collector.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            yield orjson.dumps(message("under-way")) + b"]}"

        answers.append(
            httpx.post(
                collector.url + "/v1/batch", content=slow_body(), auth=(collector.key, ""), timeout=20
            ).status_code
        )
        assert collector.process.wait(20) == 0
        assert answers == [200]
        assert [orjson.loads(line)["messageId"] for _, _, _, line in collector.received()] == ["under-way"]


def test_a_torn_tail_of_a_crash_is_read_by_nobody_and_followed_by_a_new_segment(house: House) -> None:
    house.log.append([])
    day = f"{datetime.now(tz=UTC):%Y-%m-%d}"
    torn = house.log.root / day / "000001.log"
    torn.parent.mkdir(parents=True)
    torn.write_bytes(b"2010-12-01T09:00:00.000Z\tweb\t{}\n2010-12-01T09:0")
    with running(house) as collector:
        assert collector.post("/v1/track", message("after")).status_code == 200
        assert [parts.raw[:2] for parts in collector.received()] == [b"{}", b'{"']
    assert list(house.log.segments()) == [f"{day}/000001.log", f"{day}/000002.log"]


def test_a_full_disk_asks_the_sender_to_come_again(house: House) -> None:
    """A limit of file size stands for the full disk; it holds for the workers too."""
    with running(house, file_limit=300_000) as collector:
        assert collector.post("/v1/track", message("fits")).status_code == 200
        answer = collector.post("/v1/batch", {"batch": [message("x" * 1000)] * 400})
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert httpx.get(collector.url + "/readyz").status_code == 503
        assert collector.post("/v1/track", message("fits-too")).status_code == 200
        assert httpx.get(collector.url + "/readyz").status_code == 200
        assert [orjson.loads(line)["messageId"] for _, _, _, line in collector.received()] == [
            "fits",
            "fits-too",
        ]


def test_a_full_queue_asks_the_sender_to_come_again(house: House) -> None:
    """The test holds the lock of the event log, so the first message waits and the second finds no room."""
    answers: list[int] = []
    with running(house, queue_bytes=1) as collector:
        house.log.append([])
        with (house.log.root / ".lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            first = threading.Thread(
                target=lambda: answers.append(collector.post("/v1/track", message("waits")).status_code)
            )
            first.start()
            while 'queued_bytes{worker="1"} 0.0' in httpx.get(collector.url + "/metrics").text:
                assert first.is_alive()
            answer = collector.post("/v1/track", message("no-room"))
        first.join()
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert answers == [200]
        assert [orjson.loads(line)["messageId"] for _, _, _, line in collector.received()] == ["waits"]


def test_a_record_has_the_time_at_which_it_came(house: House) -> None:
    with running(house) as collector:
        before = datetime.now(tz=UTC)
        collector.post("/v1/track", message("timed"))
        (parts,) = collector.received()
    assert parts.source == "web"
    at = parts.received_at
    assert before.replace(microsecond=before.microsecond // 1000 * 1000) <= at <= datetime.now(tz=UTC)
    assert list(house.log.segments()) == [f"{at:%Y-%m-%d}/000001.log"]
