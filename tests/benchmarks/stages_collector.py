"""Measures the collector over loopback: one event a request, 50 a request, and latency at a fixed rate.

python -m tests.benchmarks.stages_collector EVENTS single|batch

Prints JSON lines as the other stages do. Server and load generator share the machine's cores, so rates are
lower bounds. EVENTS is capped, and so is the time: each measurement ends by itself.
"""

import asyncio
import base64
import json
import resource
import sys
import tempfile
from pathlib import Path

import orjson

from tests.benchmarks.limits import http_load
from tests.ingestion.collector.server import Running, running
from tests.ingestion.messages import House, message

MOST_REQUESTS = 20_000
CONNECTIONS = 64
EVENTS_A_BATCH = 50
WARM_UP = 500
# The share of the closed loop's rate at which latency is taken, and for how long.
SHARE = 0.7
OPEN_SECONDS = 8.0
WORKERS = 1


def measure(events: int, a_request: int, kept: Path) -> None:
    """Closed loop for the rate, then open loop at 70% of it for the latency."""
    body = _body(a_request)
    # beside the log, because the limit reads it when this process has ended
    kept.write_bytes(body)
    requests = max(CONNECTIONS, min(MOST_REQUESTS, events // a_request))
    with tempfile.TemporaryDirectory() as folder, running(House(Path(folder)), workers=WORKERS) as collector:
        port = int(collector.url.rpartition(":")[2])
        request = http_load.post("/v1/batch", body, f"Authorization: Basic {_basic(collector)}\r\n")
        asyncio.run(http_load.closed_loop(port, request, connections=8, requests=WARM_UP))
        found = asyncio.run(http_load.closed_loop(port, request, connections=CONNECTIONS, requests=requests))
        rate = SHARE * requests / found.seconds
        timed = asyncio.run(
            http_load.open_loop(port, request, connections=4 * CONNECTIONS, rate=rate, seconds=OPEN_SECONDS)
        )
        kept_lines = sum(batch.lines for batch in collector.house.log.unread({}))
    sent = WARM_UP + requests + len(timed.latencies)
    if found.failed or timed.failed or kept_lines != sent * a_request:
        raise SystemExit(
            f"{found.failed + timed.failed} of {sent} requests failed; {kept_lines} events are in the log."
        )
    name = f"collect, {a_request} event{'s' * (a_request > 1)} a request"
    _print(name, requests * a_request, found.seconds, f"{requests}:{CONNECTIONS}:{kept}")
    latency = ", ".join(f"p{share * 100:g} {timed.percentile(share) * 1000:.1f} ms" for share in (0.5, 0.99))
    _print(
        f"{name}, open loop at {rate:,.0f} requests/s: {latency}",
        len(timed.latencies) * a_request,
        timed.seconds,
    )


def _body(a_request: int) -> bytes:
    batch = [message(f"m-{number}", context={"library": {"name": "bench"}}) for number in range(a_request)]
    return orjson.dumps({"batch": batch, "sentAt": "2010-12-01T08:26:00.000Z"})


def _basic(collector: Running) -> str:
    return base64.b64encode(f"{collector.key}:".encode()).decode()


def _print(stage: str, rows: int, seconds: float, limit_input: str = "") -> None:
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    limit = "asgi_limit.py" if limit_input else ""
    line = {"stage": stage, "rows": rows, "seconds": seconds, "peak_mib": peak}
    print(json.dumps({**line, "limit": limit, "limit_input": limit_input}), flush=True)


def main() -> None:
    """Measure one stage."""
    events, stage = int(sys.argv[1]), sys.argv[2]
    kept = Path(tempfile.gettempdir()) / f"cdp-bench-{stage}.json"
    measure(events, {"single": 1, "batch": EVENTS_A_BATCH}[stage], kept)


if __name__ == "__main__":
    main()
