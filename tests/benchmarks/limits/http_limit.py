"""Bare limit of delivery: httpx posts the same batches, one after the other. None of the project's code.

python http_limit.py ROWS URL LIST -> one JSON line with the seconds. The bytes of every request are made
before the clock starts; the answer is read, and must have one result for each row.
"""

import asyncio
import json
import sys
import time

import httpx

BATCH = 500


def batches(rows: int) -> list[bytes]:
    """As the marts of the bench map them, in order of key."""
    people = sorted((f"person{number}@example.com", number) for number in range(rows))
    operations = [
        f'{{"do":"upsert","key":"{key}","fields":{{"country":"GB","first_name":"Name{number}",'
        f'"value":{number * 1.25:.2f}}}}}'
        for key, number in people
    ]
    return [
        f'{{"key_field":"email","operations":[{",".join(operations[first : first + BATCH])}]}}'.encode()
        for first in range(0, rows, BATCH)
    ]


async def send(contents: list[bytes], url: str, list_name: str) -> dict[str, float]:
    async with httpx.AsyncClient(base_url=url, verify=False) as http:  # noqa: S501 - plain HTTP on loopback
        start, cpu = time.perf_counter(), time.process_time()
        for number, content in enumerate(contents):
            response = await http.post(
                f"/lists/{list_name}/operations",
                content=content,
                headers={"Idempotency-Key": f"batch{number}", "Content-Type": "application/json"},
            )
            results = json.loads(response.content)["results"]
            if len(results) != content.count(b'"do":'):
                raise RuntimeError("one result per operation was expected")
        return {"httpx_seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}


def main(rows: int, url: str, list_name: str) -> dict[str, float]:
    return {"rows": rows, **asyncio.run(send(batches(rows), url, list_name))}


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), sys.argv[2], sys.argv[3])))
