"""One process of the collector: `python -m ingestion.collector.worker CONFIG`, started by the supervisor."""

import ctypes
import gc
import os
import signal
import socket
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import structlog
import uvicorn

from ingestion.collector.app import build_app
from ingestion.collector.config import CollectorConfig
from ingestion.collector.protocol import BoundedProtocol
from ingestion.collector.webhooks import SecretWebhook, Webhook

KEEP_ALIVE_SECONDS = 60
# The thread that commits makes a dozen short calls of the system, and may wait so long for its turn
# after each of them.
SWITCH_SECONDS = 0.0005
PR_SET_PDEATHSIG = 1  # <sys/prctl.h>


@dataclass(frozen=True)
class WorkerStart:
    """What the supervisor tells a worker: the socket it inherits, its number, and who started it."""

    descriptor: int
    number: int
    parent: int
    config: CollectorConfig

    def argument(self) -> str:
        """All of it as one argument of the command line."""
        config = {**vars(self.config), "event_log": str(self.config.event_log)}
        config["keys_file"] = str(self.config.keys_file)
        return orjson.dumps({**vars(self), "config": config}).decode()


def read_start(argument: str) -> WorkerStart:
    """The other end of `WorkerStart.argument`."""
    found = orjson.loads(argument)
    config = found.pop("config")
    config |= {name: Path(config[name]) for name in ("event_log", "keys_file")}
    return WorkerStart(**found, config=CollectorConfig(**config))


def private_argument(webhooks: tuple[SecretWebhook, ...]) -> bytes:
    """What a worker reads from its standard input, because it holds secrets."""
    return orjson.dumps(
        [{"declared": each.declared.model_dump(mode="json"), "values": each.values} for each in webhooks]
    )


def read_private(argument: bytes) -> tuple[SecretWebhook, ...]:
    """The other end of `private_argument`."""
    return tuple(
        SecretWebhook(Webhook.model_validate(each["declared"]), tuple(each["values"]))
        for each in orjson.loads(argument)
    )


def end_with_parent(parent: int) -> None:
    """Ask the kernel to stop this process when its supervisor dies; other systems do not offer it."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(0)


def main() -> None:
    """Serve until SIGTERM; requests that are under way are answered first."""
    start = read_start(sys.argv[1])
    end_with_parent(start.parent)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    app = build_app(
        start.config,
        worker=str(start.number),
        clock=lambda: datetime.now(tz=UTC),
        webhooks=read_private(sys.stdin.buffer.read()),
    )
    # uvicorn calls what it is given as its protocol; its annotation only knows classes.
    protocol: Any = partial(BoundedProtocol, body_seconds=start.config.read_seconds)
    # What lives from here to the end need not be looked at again by the collector of garbage.
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.freeze()
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            http=protocol,
            ws="none",
            lifespan="on",
            log_level="warning",
            access_log=False,
            server_header=False,
            limit_concurrency=start.config.max_connections,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=start.config.shutdown_seconds,
        )
    )
    server.run(sockets=[socket.socket(fileno=start.descriptor)])


if __name__ == "__main__":
    main()
