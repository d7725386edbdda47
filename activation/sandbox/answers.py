"""Answers that the sandbox's doors share."""

from collections.abc import AsyncIterator

import orjson
from starlette.responses import Response


def json_answer(status: int, content: dict[str, object], *, retry_after: int | None = None) -> Response:
    """A JSON body with its status."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return Response(orjson.dumps(content), status_code=status, headers=headers, media_type="application/json")


async def broken(content: bytes) -> AsyncIterator[bytes]:
    """Half of an answer, and then the connection is gone."""
    yield content[: len(content) // 2]
    raise ConnectionResetError("the sandbox was told to cut this answer off")
