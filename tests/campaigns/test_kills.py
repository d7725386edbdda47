"""Random kills of the collector and the loader under load: what was acknowledged is in the warehouse once."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ingestion.sealing import verify
from tests.ingestion.collector.server import Running, running
from tests.ingestion.messages import House, message

SENDERS = 3
# Leaves the loader something of the two processors.
PAUSE = 0.05
# The supervisor takes a worker that ends sooner for one that cannot start, and gives up.
WORKER_LIVES = 1.3
# A loader needs some 1.5 s to start and to open the warehouse.
LOADER_LIVES = (1.0, 6.0)


class Campaign:
    """A collector, a loader and senders; whatever is killed is started again."""

    def __init__(self, house: House, seed: int) -> None:
        self._house = house
        self._seed = seed
        self._stack = contextlib.ExitStack()
        self._stop = threading.Event()
        self.kills: Counter[str] = Counter()
        self.acknowledged: set[str] = set()
        self.sent: set[str] = set()
        self.requests: Counter[str] = Counter()
        self.collector = self._start_collector()
        self._loader = self._start_loader()
        self._threads = [threading.Thread(target=self._send, args=(number,)) for number in range(SENDERS)]

    def run(self, kills: int) -> None:
        """Kill the loader and parts of the collector side by side, so often in all."""
        loads = kills * 2 // 5
        killers = [
            threading.Thread(target=self._kill_loaders, args=(loads,)),
            threading.Thread(target=self._kill_collectors, args=(kills - loads,)),
        ]
        try:
            for thread in (*self._threads, *killers):
                thread.start()
            for thread in killers:
                thread.join()
            time.sleep(WORKER_LIVES)
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join()
            self._loader.kill()
            self._loader.wait()
            self._stack.close()

    def _kill_loaders(self, kills: int) -> None:
        chance = random.Random(self._seed + 1)
        for _ in range(kills):
            time.sleep(chance.uniform(*LOADER_LIVES))
            self._loader.kill()
            self._loader.wait()
            self._loader = self._start_loader()
            self.kills["loader"] += 1

    def _kill_collectors(self, kills: int) -> None:
        chance = random.Random(self._seed + 2)
        for _ in range(kills):
            time.sleep(WORKER_LIVES + chance.uniform(0, 1))
            if chance.random() < 0.1:
                os.kill(self.collector.process.pid, signal.SIGKILL)
                self.collector = self._start_collector()
                self.kills["collector"] += 1
            else:
                os.kill(chance.choice(self.collector.workers()), signal.SIGKILL)
                self.kills["worker"] += 1

    def _start_collector(self) -> Running:
        self._stack.close()
        return self._stack.enter_context(running(self._house, workers=2))

    def _start_loader(self) -> "subprocess.Popen[bytes]":
        with (self._house.folder / "loader.log").open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.campaigns.loader", str(self._house.folder)],
                stdout=output,
                stderr=output,
            )

    def _send(self, sender: int) -> None:
        """Send as an SDK does: what was not acknowledged is sent again under the same ids."""
        with httpx.Client(timeout=10) as client:
            for number, size in enumerate(self._sizes()):
                ids = [f"k-{sender}-{number}-{place}" for place in range(size)]
                self.sent.update(ids)
                for _ in range(200):
                    if self._post(client, ids):
                        self.acknowledged.update(ids)
                        break
                    time.sleep(0.05)
                time.sleep(PAUSE)

    def _sizes(self) -> Iterator[int]:
        """Single events and batches in turn, until the end."""
        while not self._stop.is_set():
            yield 1
            yield 20

    def _post(self, client: httpx.Client, ids: list[str]) -> bool:
        collector = self.collector
        path = "/v1/track" if len(ids) == 1 else "/v1/batch"
        body = message(ids[0]) if len(ids) == 1 else {"batch": [message(each) for each in ids]}
        try:
            answer = client.post(collector.url + path, json=body, auth=(collector.key, ""))
        except httpx.HTTPError as error:
            self.requests[type(error).__name__] += 1
            return False
        self.requests[str(answer.status_code)] += 1
        return answer.status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("kills", [8, pytest.param(200, marks=[pytest.mark.long, pytest.mark.timeout(1500)])])
def test_everything_acknowledged_is_in_the_warehouse_exactly_once(
    tmp_path: Path, kills: int, capsys: pytest.CaptureFixture[str]
) -> None:
    seed, begun = 20_101_209 + kills, time.monotonic()
    house = House(tmp_path)
    campaign = Campaign(house, seed)
    campaign.run(kills)
    last = house.load()
    again = house.load()

    times = dict(house.rows("select event_id, count(*) from raw.events group by event_id"))
    lost = campaign.acknowledged - times.keys()
    doubled = {event_id for event_id, count in times.items() if count != 1}
    [totals] = house.rows(
        "select sum(received), sum(accepted), sum(duplicates), sum(quarantined) from raw.event_batches"
    )
    with capsys.disabled():
        sys.stdout.write(
            f"\nseed {seed}: {kills} kills {dict(campaign.kills)} in {time.monotonic() - begun:.0f} s; "
            f"requests {dict(campaign.requests)}; {len(campaign.acknowledged):,} events acknowledged of "
            f"{len(campaign.sent):,} sent, {len(lost)} lost, {len(doubled)} doubled; received, accepted, "
            f"duplicates, quarantined {totals}; the last load had {last.received} lines and healed "
            f"{last.healed_rows} rows; {len(house.log.sealed().segments)} segments sealed\n"
        )

    assert (lost, doubled) == (set(), set())
    assert times.keys() <= campaign.sent
    assert totals == (totals[1] + totals[2], len(times), totals[2], 0)
    assert again.received == again.healed_rows == 0
    assert verify(house.log) == []
    assert len(campaign.acknowledged) > 10 * kills
    assert sum(campaign.kills.values()) == kills
