"""The parent of the collector's workers: binds the socket, keeps them running, and stops them together."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import structlog

from ingestion.collector.config import CollectorConfig
from ingestion.collector.webhooks import SecretWebhook
from ingestion.collector.worker import WorkerStart, private_argument
from ingestion.errors import FatalIngestionError

BACKLOG = 2048
# A worker that ends sooner than this could not really start; so many in a row, and nobody tries again.
SHORT_LIFE_SECONDS = 1.0
SHORT_LIVES = 5
_LOOK_SECONDS = 0.1
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Worker:
    number: int
    process: "subprocess.Popen[bytes]"
    started: float


def bind(host: str, port: int) -> socket.socket:
    """A listening socket that the workers will share; port 0 takes a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise FatalIngestionError(
            f"The collector cannot listen on {host} port {port} ({error.strerror or error}); is another one "
            "running there? Choose another with --port."
        ) from error
    listening.listen(BACKLOG)
    return listening


def serve(
    config: CollectorConfig,
    *,
    host: str,
    port: int,
    workers: int,
    on_listening: Callable[[str, int], None],
    webhooks: tuple[SecretWebhook, ...] = (),
) -> None:
    """Collect until SIGTERM or SIGINT; raises FatalIngestionError when workers cannot start."""
    config = replace(config, workers=workers)
    start = partial(_start, config, private_argument(webhooks))
    stopping = threading.Event()
    with bind(host, port) as listening:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopping.set())
        running: list[_Worker] = []
        try:
            running += [start(listening, number) for number in range(1, workers + 1)]
            on_listening(host, listening.getsockname()[1])
            _keep_running(start, listening, running, stopping)
        finally:
            _stop(running, config.shutdown_seconds)


def _keep_running(
    start: Callable[[socket.socket, int], _Worker],
    listening: socket.socket,
    running: list[_Worker],
    stopping: threading.Event,
) -> None:
    short_lives = 0
    while not stopping.wait(_LOOK_SECONDS):
        for place, worker in enumerate(running):
            code = worker.process.poll()
            if code is None:
                continue
            _log.error("worker.ended", worker=worker.number, exit_code=code)
            is_short = time.monotonic() - worker.started < SHORT_LIFE_SECONDS
            short_lives = short_lives + 1 if is_short else 0
            if short_lives >= SHORT_LIVES:
                raise FatalIngestionError(
                    f"{SHORT_LIVES} workers in a row ended within {SHORT_LIFE_SECONDS:g} s of their start, "
                    f"the last with exit code {code}; its words are above. Mend that and start again."
                )
            running[place] = start(listening, worker.number)


def _start(config: CollectorConfig, private: bytes, listening: socket.socket, number: int) -> _Worker:
    start = WorkerStart(listening.fileno(), number, os.getpid(), config)
    process = subprocess.Popen(
        [sys.executable, "-m", "ingestion.collector.worker", start.argument()],
        pass_fds=[listening.fileno()],
        stdin=subprocess.PIPE,
    )
    if process.stdin is not None:
        # Secrets go where no list of processes shows them; a worker that is dead already is started again.
        with contextlib.suppress(BrokenPipeError), process.stdin as stdin:
            stdin.write(private)
    return _Worker(number, process, time.monotonic())


def _stop(running: list[_Worker], seconds: float) -> None:
    """Ask all to finish what is under way, then wait; one that does not end in time is killed."""
    for worker in running:
        worker.process.terminate()
    until = time.monotonic() + seconds + 2
    for worker in running:
        try:
            worker.process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.process.kill()
            worker.process.wait()
