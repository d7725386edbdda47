"""A line to a PostgreSQL server that a test can cut: what was asked is done, and its answer never comes."""

import contextlib
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

SOCKET_NAME = ".s.PGSQL.5432"


class Proxy:
    """Passes on what clients of its own socket send to the server's, and what comes back."""

    def __init__(self, server_socket: Path) -> None:
        self._server_socket = server_socket
        self._cut_at: bytes | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="cdp-px-")
        self._listener = socket.socket(socket.AF_UNIX)

    @property
    def folder(self) -> Path:
        """What a client names as its host."""
        return Path(self._folder.name)

    def cut_at(self, statement: bytes) -> None:
        """Cut the line once, when the next statement that begins so has been answered by the server."""
        self._cut_at = statement

    def __enter__(self) -> Self:
        self._listener.bind(str(self.folder / SOCKET_NAME))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._listener.close()
        self._folder.cleanup()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(self._server_socket))
                threading.Thread(target=self._pass_on, args=(client, server), daemon=True).start()

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        is_last = threading.Event()
        back = threading.Thread(target=self._pass_back, args=(client, server, is_last), daemon=True)
        back.start()
        for data in _received(client):
            # a simple query is Q, four bytes of length, the text
            if self._cut_at is not None and data[5:].startswith(self._cut_at):
                self._cut_at = None
                is_last.set()
            server.sendall(data)
        server.close()

    @staticmethod
    def _pass_back(client: socket.socket, server: socket.socket, is_last: threading.Event) -> None:
        for data in _received(server):
            if is_last.is_set():
                client.shutdown(socket.SHUT_RDWR)
                return
            with contextlib.suppress(OSError):
                client.sendall(data)
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)


def _received(line: socket.socket) -> Iterator[bytes]:
    with contextlib.suppress(OSError):
        while data := line.recv(65_536):
            yield data
