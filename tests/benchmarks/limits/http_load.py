"""A bounded load generator over plain sockets, on loopback only. None of the project's code.

Closed loop: each connection sends its next request when the last was answered. Open loop: requests are due at
fixed times, and a latency counts from when its request was due, so waiting for a free connection counts too.
"""

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field

OK = b"HTTP/1.1 200"
MOST_SECONDS = 60.0


@dataclass
class Result:
    """How long it took, each latency in seconds, and how many answers were no success."""

    seconds: float = 0.0
    failed: int = 0
    latencies: list[float] = field(default_factory=list)

    def percentile(self, share: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Sender(asyncio.Protocol):
    """One connection; `idle` is called when an answer is complete."""

    def __init__(self, request: bytes, result: Result, idle) -> None:  # type: ignore[no-untyped-def]  # a script
        self.request, self.result, self.idle = request, result, idle
        self.due = 0.0
        self.found = b""

    def connection_made(self, transport) -> None:  # type: ignore[no-untyped-def]  # a script
        self.transport = transport

    def send(self, due: float) -> None:
        self.due = due
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.found += data
        head, end, body = self.found.partition(b"\r\n\r\n")
        if not end:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(body) < length:
            return
        self.found = b""
        self.result.failed += not head.startswith(OK)
        self.result.latencies.append(time.perf_counter() - self.due)
        self.idle(self)


async def _connect(port: int, request: bytes, connections: int, result: Result, idle):  # type: ignore[no-untyped-def]  # a script
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(lambda: Sender(request, result, idle), "127.0.0.1", port)
        for _ in range(connections)
    ]
    return [sender for _, sender in made]


async def closed_loop(port: int, request: bytes, *, connections: int, requests: int) -> Result:
    result, done = Result(), asyncio.Event()
    left = requests

    def idle(sender: Sender) -> None:
        nonlocal left
        if len(result.latencies) >= requests:
            done.set()
        elif left > 0:
            left -= 1
            sender.send(time.perf_counter())

    senders = await _connect(port, request, connections, result, idle)
    start = time.perf_counter()
    for sender in senders:
        idle(sender)
    async with asyncio.timeout(MOST_SECONDS):
        await done.wait()
    result.seconds = time.perf_counter() - start
    for sender in senders:
        sender.transport.close()
    return result


async def open_loop(port: int, request: bytes, *, connections: int, rate: float, seconds: float) -> Result:
    result, free, waiting = Result(), deque(), deque()  # type: ignore[var-annotated]  # a script

    def idle(sender: Sender) -> None:
        if waiting:
            sender.send(waiting.popleft())
        else:
            free.append(sender)

    senders = await _connect(port, request, connections, result, idle)
    free.extend(senders)
    start = time.perf_counter()
    count = int(rate * seconds)
    sent = 0
    while sent < count:
        now = time.perf_counter()
        while sent < count and start + sent / rate <= now:
            due = start + sent / rate
            if free:
                free.popleft().send(due)
            else:
                waiting.append(due)
            sent += 1
        await asyncio.sleep(0.001)
    async with asyncio.timeout(MOST_SECONDS):
        while len(result.latencies) < count:
            await asyncio.sleep(0.005)
    result.seconds = time.perf_counter() - start
    for sender in senders:
        sender.transport.close()
    return result


def post(path: str, body: bytes, headers: str = "") -> bytes:
    """A whole request as it goes over the wire."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body
