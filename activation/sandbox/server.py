"""Serves the sandbox on loopback: in a thread for the length of a run, or in the foreground for people."""

import socket
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import uvicorn

from activation.errors import FatalActivationError
from activation.sandbox.app import Sandbox, SandboxRules
from activation.sandbox.faults import Faults
from activation.sandbox.store import SandboxStore
from activation.times import Clock

START_SECONDS = 10.0
STOP_SECONDS = 10.0
LOOPBACK = "127.0.0.1"


class SandboxServer:
    """`with SandboxServer(path, clock=…) as server:` listens at `server.url` until the block ends."""

    def __init__(self, path: Path, *, clock: Clock, rules: SandboxRules | None = None, port: int = 0) -> None:
        self._path = path
        self._clock = clock
        self._rules = rules or SandboxRules()
        self._port = port
        self.faults = Faults()

    def __enter__(self) -> Self:
        """Bind, start, and return once it answers; raises FatalActivationError when it cannot."""
        self._socket = _bind(self._port)
        self.url = f"http://{LOOPBACK}:{self._socket.getsockname()[1]}"
        self.store = SandboxStore(self._path)
        sandbox = Sandbox(self.store, rules=self._rules, faults=self.faults, clock=self._clock)
        config = uvicorn.Config(
            sandbox.app(), log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=2
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="sandbox", daemon=True
        )
        self._thread.start()
        deadline = time.monotonic() + START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                self.__exit__(None, None, None)
                raise FatalActivationError(
                    f"The sandbox did not start at {self.url} within {START_SECONDS:g} s."
                )
            time.sleep(0.005)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop listening and close the memory file."""
        self._server.should_exit = True
        self._thread.join(STOP_SECONDS)
        self._socket.close()
        self.store.close()


def serve_in_foreground(path: Path, *, clock: Clock, port: int, rules: SandboxRules) -> None:
    """Serve until interrupted."""
    listener = _bind(port)
    store = SandboxStore(path)
    sandbox = Sandbox(store, rules=rules, faults=Faults(), clock=clock)
    try:
        uvicorn.Server(uvicorn.Config(sandbox.app(), log_level="warning", lifespan="off")).run(
            sockets=[listener]
        )
    finally:
        listener.close()
        store.close()


def _bind(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
    except OSError as error:
        listener.close()
        raise FatalActivationError(
            f"The sandbox cannot listen at {LOOPBACK}:{port} ({error.strerror}). "
            "Stop what listens there, or choose another --port."
        ) from error
    return listener
