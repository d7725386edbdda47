"""A real collector on loopback, as a child process: `python -m tests.ingestion.collector.server CONFIG`."""

import contextlib
import gzip
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from ingestion.collector.config import CollectorConfig
from ingestion.collector.keys import KeyFile
from ingestion.collector.supervisor import serve
from ingestion.collector.webhooks import SecretWebhook
from ingestion.collector.worker import private_argument, read_private
from ingestion.records import Parts, split_record
from tests.ingestion.messages import House

START_SECONDS = 30


@dataclass(frozen=True)
class Running:
    """A collector that runs, and the house that its event log belongs to."""

    url: str
    house: House
    process: "subprocess.Popen[str]"
    key: str

    @property
    def keys(self) -> KeyFile:
        return keys_of(self.house)

    def post(self, path: str, body: object, *, key: str | None = ..., **options: Any) -> httpx.Response:  # type: ignore[assignment]  # the default means: the key of this collector
        given = self.key if key is ... else key
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        auth = (given, "") if given is not None else None
        return httpx.post(self.url + path, content=content, auth=auth, timeout=20, **options)

    def received(self) -> list[Parts]:
        """Every record of the log."""
        found = []
        for batch in self.house.log.unread({}):
            for part in batch.slices:
                for line in self.house.log.read(part).split(b"\n")[:-1]:
                    parts = split_record(line)
                    assert parts is not None
                    found.append(parts)
        return found

    def workers(self) -> list[int]:
        """The ids of the worker processes."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(each) for each in children.split()]


def keys_of(house: House) -> KeyFile:
    return KeyFile(house.folder / "collector" / "write_keys.json")


@contextlib.contextmanager
def running(
    house: House,
    *,
    workers: int = 1,
    file_limit: int = 0,
    webhooks: tuple[SecretWebhook, ...] = (),
    **config: Any,
) -> Iterator[Running]:
    """Start a collector with one key of source `web`; it is stopped, and waited for, at the end."""
    key = keys_of(house).create("web", datetime.now(tz=UTC)).secret
    given = {"folder": str(house.folder), "workers": workers, "file_limit": file_limit, "config": config}
    given["webhooks"] = private_argument(webhooks).decode()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.ingestion.collector.server", json.dumps(given)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        wait_until_live(url)
        yield Running(url, house, process, key)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.communicate()


def wait_until_live(url: str) -> None:
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            if httpx.get(url + "/livez", timeout=START_SECONDS).status_code == 200:
                return
        except httpx.TransportError:
            if time.monotonic() > until:
                raise
            os.sched_yield()


def gzipped(body: object) -> bytes:
    return gzip.compress(body if isinstance(body, bytes) else json.dumps(body).encode())


def _say(host: str, port: int) -> None:
    sys.stdout.write(f"http://{host}:{port}\n")
    sys.stdout.flush()


def main() -> None:
    given = json.loads(sys.argv[1])
    house = House(Path(given["folder"]))
    if given["file_limit"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (given["file_limit"], given["file_limit"]))
    serve(
        CollectorConfig(event_log=house.log.root, keys_file=keys_of(house).path, **given["config"]),
        host="127.0.0.1",
        port=0,
        workers=given["workers"],
        on_listening=_say,
        webhooks=read_private(given["webhooks"].encode()),
    )


if __name__ == "__main__":
    main()
