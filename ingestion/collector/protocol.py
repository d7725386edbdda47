"""uvicorn's HTTP protocol with deadlines for the head and the body of a request, which it lacks.

A timer for each request would cost more than taking its message, so each connection has one that looks
again and again whether what is awaited is overdue.
"""

import asyncio
from typing import Any, Literal

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS = 10.0
HEAD_BYTES = 512 * 1024
LOOK_SECONDS = 0.5


class BoundedProtocol(HttpToolsProtocol):
    """Hangs up on a sender whose head of a request is too slow or too large, or whose body is too slow.

    A deadline is kept to LOOK_SECONDS.
    """

    def __init__(self, *args: Any, body_seconds: float, **options: Any) -> None:
        super().__init__(*args, **options)
        self._body_seconds = body_seconds
        self._awaited: Literal["head", "body", None] = None
        self._since = 0.0
        self._head_bytes = 0
        self._look: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection from which nothing ever comes is given up too."""
        super().connection_made(transport)
        self._await_head()
        self._look = self.loop.call_later(LOOK_SECONDS, self._look_again)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more to wait for."""
        if self._look is not None:
            self._look.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what comes while the head is not complete."""
        if self._awaited == "head":
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self.transport.close()
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        """The next request on a connection has its own deadline."""
        if self._awaited is None:
            self._await_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """From here on the application bounds how much comes, and this how long it takes."""
        self._awaited, self._since = "body", self.loop.time()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """All of it is here."""
        self._awaited = None
        super().on_message_complete()

    def _await_head(self) -> None:
        self._awaited, self._since = "head", self.loop.time()
        self._head_bytes = 0

    def _look_again(self) -> None:
        waited = self.loop.time() - self._since
        if self._awaited == "head" and waited > HEAD_SECONDS:
            self.transport.close()
        elif self._awaited == "body" and waited > self._body_seconds:
            self._refuse_slow_body()
        else:
            self._look = self.loop.call_later(LOOK_SECONDS, self._look_again)

    def _refuse_slow_body(self) -> None:
        """Say 408, unless an answer is under way, and hang up; for the application the sender has left."""
        if self.cycle is not None and not self.cycle.response_started:
            reason = f"The body did not arrive within {self._body_seconds:g} seconds."
            body = orjson.dumps({"success": False, "message": reason})
            self.transport.write(
                b"HTTP/1.1 408 Request Timeout\r\nContent-Type: application/json\r\nConnection: close\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
            )
        self.transport.close()
