"""Bare limit of delivery: httpx posts 500 rows at a time to a server that keeps nothing, without our code.

python http_limit.py ROWS -> one JSON line with the seconds.
"""

import asyncio
import json
import socket
import sys
import threading
import time

import httpx
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

BATCH = 500


async def answer(request: Request) -> Response:
    operations = orjson.loads(await request.body())["operations"]
    return Response(orjson.dumps({"results": [{"status": "delivered"}] * len(operations)}))


async def send(url: str, rows: int) -> float:
    async with httpx.AsyncClient(base_url=url, verify=False) as http:  # noqa: S501 - plain HTTP on loopback
        start = time.perf_counter()
        for first in range(0, rows, BATCH):
            operations = [
                {
                    "do": "upsert",
                    "key": f"person{number:08d}@example.com",
                    "fields": {"country": "GB", "value": 12.3},
                }
                for number in range(first, min(first + BATCH, rows))
            ]
            response = await http.post("/", content=orjson.dumps({"operations": operations}))
            if len(orjson.loads(response.content)["results"]) != len(operations):
                raise RuntimeError("one result per operation was expected")
        return time.perf_counter() - start


def main(rows: int) -> dict[str, float]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(
            Starlette(routes=[Route("/", answer, methods=["POST"])]), log_config=None, access_log=False
        )
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        seconds = asyncio.run(send(f"http://127.0.0.1:{listener.getsockname()[1]}", rows))
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
    return {"rows": rows, "seconds": seconds}


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]))))
