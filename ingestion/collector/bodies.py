"""A request's body within its limits: of size as sent, of size when unpacked."""

import zlib
from collections.abc import Mapping

from starlette.requests import ClientDisconnect
from starlette.types import Receive

# gzip reaches some 1,030:1 on zeroes; real batches of events stay under 40:1.
MAX_RATIO = 100
# SDKs pack a body in one part. Each further one costs a copy of the rest, however little it holds.
MAX_PARTS = 100
_GZIP = b"\x1f\x8b"
_GZIP_FORMAT = 16 + zlib.MAX_WBITS
_BLOCK = 256 * 1024


class RefusedBodyError(Exception):
    """A body that is not taken, with the status that says why."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class TornBodyError(Exception):
    """A packed body that ends too early or is damaged; `readable` is what could be unpacked of it."""

    def __init__(self, readable: bytes) -> None:
        super().__init__("the packed body is torn")
        self.readable = readable


async def read_body(headers: Mapping[bytes, bytes], receive: Receive, *, max_bytes: int) -> bytes:
    """The body as sent; refuses it with 413 when it is larger. The protocol hangs up on one that is too slow.

    Raises ClientDisconnect when the sender, or the protocol, hung up before its end.
    """
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length[:20]) > max_bytes:
        raise _too_large(max_bytes)
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part = message.get("body", b"")
        size += len(part)
        if size > max_bytes:
            raise _too_large(max_bytes)
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def unpacked(body: bytes, *, max_bytes: int) -> bytes:
    """The body without its gzip, which is known by its first bytes: SDKs and proxies get the header wrong.

    Never holds more than the limits allow: `max_bytes`, and 100 times what was sent; takes at most 100 packed
    parts in a row. Raises TornBodyError.
    """
    if not body.startswith(_GZIP):
        return body
    most = min(max_bytes, MAX_RATIO * len(body))
    found = bytearray()
    rest = body
    parts = 0
    while rest:
        parts += 1
        if parts > MAX_PARTS:
            raise RefusedBodyError(413, f"The body has more than {MAX_PARTS} packed parts; pack it as one.")
        member = zlib.decompressobj(_GZIP_FORMAT)
        try:
            while not member.eof and rest:
                found += member.decompress(rest, min(_BLOCK, most + 1 - len(found)))
                if len(found) > most:
                    raise _too_large(max_bytes)
                rest = member.unconsumed_tail
        except zlib.error as error:
            raise TornBodyError(bytes(found)) from error
        if not member.eof:
            raise TornBodyError(bytes(found))
        # what follows a member is another one, or padding of zeroes
        rest = member.unused_data.lstrip(b"\x00")
    return bytes(found)


def _too_large(max_bytes: int) -> RefusedBodyError:
    return RefusedBodyError(
        413,
        f"The body is larger than {max_bytes} bytes or {MAX_RATIO} times its packed size; send less at once.",
    )
