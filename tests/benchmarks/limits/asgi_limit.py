"""Bare limit of the collector: an ASGI app that appends each body to a file and syncs by group commit.

python asgi_limit.py REQUESTS:CONNECTIONS:BODY_FILE -> one JSON line with the rows and seconds. It looks at no
key, reads no JSON and knows one route. None of the project's code.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import http_load
import uvicorn


def serve(descriptor: int, path: str) -> None:
    log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    waiting: list[tuple[bytes, asyncio.Future[None]]] = []
    wake = asyncio.Event()

    def write(bodies: list[bytes]) -> None:
        os.write(log, b"".join(bodies))
        os.fsync(log)

    async def commit() -> None:
        while True:
            await wake.wait()
            wake.clear()
            group = waiting[:]
            waiting.clear()
            await asyncio.to_thread(write, [body for body, _ in group])
            for _, done in group:
                done.set_result(None)

    tasks: list[asyncio.Task[None]] = []

    async def app(_scope, receive, send) -> None:  # type: ignore[no-untyped-def]  # a script
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        if not tasks:
            tasks.append(asyncio.create_task(commit()))
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting.append((body, done))
        wake.set()
        await done
        length = [(b"content-length", b"16")]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": b'{"success":true}'})

    config = uvicorn.Config(app, access_log=False, log_level="warning", lifespan="off")
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=descriptor)])


def main(given: str) -> dict[str, float]:
    requests, connections, file = given.split(":", 2)
    request = http_load.post("/", Path(file).read_bytes())
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0), backlog=512) as door:
        server = subprocess.Popen(
            [sys.executable, __file__, "serve", str(door.fileno()), f"{folder}/log"], pass_fds=[door.fileno()]
        )
        try:
            port = door.getsockname()[1]
            asyncio.run(http_load.closed_loop(port, request, connections=1, requests=20))
            found = asyncio.run(
                http_load.closed_loop(port, request, connections=int(connections), requests=int(requests))
            )
        finally:
            server.terminate()
            server.wait()
    return {"rows": int(requests), "seconds": found.seconds, "at": time.time()}


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(int(sys.argv[2]), sys.argv[3])
    else:
        print(json.dumps(main(sys.argv[1])))
