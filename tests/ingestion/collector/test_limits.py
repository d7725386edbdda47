"""Whatever is sent, the collector stays up, bounded and honest: never an answer of 500."""

import contextlib
import gzip
import json
import socket
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingestion.collector.bodies import RefusedBodyError, TornBodyError, unpacked
from tests.ingestion.collector.server import Running, gzipped, running
from tests.ingestion.messages import House, message, raw

MIB = 1024 * 1024
ROUTES = [
    *("/v1/batch", "/v1/track", "/v1/identify", "/v1/t", "/b", "/batch/", "/capture"),
    *(
        "/com.snowplowanalytics.snowplow/tp2",
        "/v1/events",
        "/livez",
        "/metrics",
        "/v1/projects/x/settings",
        "/",
    ),
]
HONEST = {200, 400, 401, 404, 405, 408, 413, 503}


def deep(levels: int) -> bytes:
    return raw("deep", properties={"x": 0}).replace(b'"x":0', b'"x":' + b"[" * levels + b"]" * levels)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b" " * (10 * MIB), 413),
        (gzipped(b" " * (10 * MIB)), 413),
        (gzipped(b" " * (1 * MIB)), 413),
        (gzip.compress(gzipped(raw("nested"))), 400),
        (gzipped(raw("torn"))[:-1], 400),
        (gzipped(raw("damaged"))[:-8] + b"\x00" * 8, 400),
        (gzipped(raw("m-1")[:40]) + gzipped(raw("m-1")[40:]), 200),
        (gzipped(raw("padded")) + b"\x00" * 512, 200),
        (deep(10_000), 400),
        (deep(500), 200),
        (raw("nan").replace(b'"85123A"', b"NaN"), 400),
        (raw("huge").replace(b'"85123A"', b"1e999"), 200),
        (raw("long").replace(b'"85123A"', b"9" * 5000), 200),
        (raw("surrogate").replace(b"85123A", b"\\ud800"), 400),
        (raw("nul").replace(b"85123A", b"\\u0000"), 200),
        (raw("zero").replace(b"85123A", b"\x00"), 400),
        (raw("twice").replace(b'"sku"', b'"sku":1,"sku"'), 200),
        (raw("keys", properties={str(n): n for n in range(100_000)}), 200),
        (raw("x" * 2 * MIB), 200),
        (raw("latin").replace(b"85123A", b"caf\xe9"), 200),
        (b"", 400),
        (b"\xef\xbb\xbf" + raw("marked"), 400),
        (b"\x1f\x8b", 400),
    ],
)
def test_what_breaks_parsers_gets_an_honest_answer(collector: Running, body: bytes, status: int) -> None:
    answer = collector.post("/v1/track", body)
    assert answer.status_code == status
    assert httpx.get(collector.url + "/livez").status_code == 200


def test_too_many_messages_at_once_are_refused_whole(collector: Running) -> None:
    assert collector.post("/v1/batch", b'{"batch":[' + b"{}," * 100_000 + b"{}]}").status_code == 413


def test_what_the_content_headers_say_is_not_believed(collector: Running) -> None:
    plain = {"Content-Encoding": "gzip", "Content-Type": "application/x-www-form-urlencoded"}
    assert collector.post("/v1/track", message("not-packed"), headers=plain).status_code == 200
    assert collector.post("/v1/track", gzipped(message("packed"))).status_code == 200


def test_a_body_without_a_length_is_bounded_while_it_comes(collector: Running) -> None:
    def chunks(count: int) -> Iterator[bytes]:
        for _ in range(count):
            yield b" " * 65_536

    auth = (collector.key, "")
    small = httpx.post(collector.url + "/v1/track", content=iter([raw("chunk"), b" "]), auth=auth)
    assert small.status_code == 200
    try:
        answer = httpx.post(collector.url + "/v1/track", content=chunks(1_000), auth=auth, timeout=30)
        assert answer.status_code == 413
    except httpx.TransportError:
        pass  # it may also hang up on who goes on sending


def talk(collector: Running, *parts: bytes) -> bytes:
    """Send bytes as they are and read until the other side is done."""
    place = urlsplit(collector.url)
    with socket.create_connection((place.hostname, place.port or 80), timeout=20) as connection:
        for part in parts:
            connection.sendall(part)
        found = b""
        while part := connection.recv(65_536):
            found += part
            if b"\r\n\r\n" in found and b"connection: close" not in found.lower():
                break
        return found


def test_a_sender_that_is_too_slow_is_not_waited_for(tmp_path: Path) -> None:
    with running(House(tmp_path), read_seconds=0.3) as collector:
        head = b"POST /v1/track HTTP/1.1\r\nHost: x\r\nx-write-key: " + collector.key.encode()
        started = time.monotonic()
        answer = talk(collector, head + b"\r\nContent-Length: 100\r\n\r\n{")
        assert answer.startswith(b"HTTP/1.1 408")
        assert time.monotonic() - started < 5


def test_a_head_without_end_is_hung_up_on(collector: Running) -> None:
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        assert talk(collector, b"GET /livez HTTP/1.1\r\n", b"a: " + b"b" * MIB) == b""
    assert httpx.get(collector.url + "/livez").status_code == 200


def test_unpacking_never_holds_more_than_its_limits() -> None:
    with pytest.raises(RefusedBodyError):
        unpacked(gzipped(b"\x00" * 50 * MIB), max_bytes=100 * MIB)
    with pytest.raises(RefusedBodyError):
        unpacked(gzipped(json.dumps(list(range(10_000)))), max_bytes=1_000)
    with pytest.raises(TornBodyError) as torn:
        unpacked(gzipped(b"some words")[:-9], max_bytes=MIB)
    assert b"some words".startswith(torn.value.readable)
    assert unpacked(b"not packed", max_bytes=1) == b"not packed"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    route=st.sampled_from(ROUTES),
    body=st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.just("u-1"),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        [
                            "batch",
                            "data",
                            "events",
                            "event",
                            "type",
                            "distinct_id",
                            "event_name",
                            "aid",
                            "sentAt",
                            "stm",
                        ]
                    ),
                    inner,
                    max_size=4,
                )
            ),
            max_leaves=8,
        ).map(lambda value: json.dumps(value).encode()),
    ),
    packing=st.sampled_from([bytes, gzip.compress, zlib.compress]),
    with_key=st.booleans(),
)
def test_any_bytes_to_any_route_get_an_honest_answer(
    collector: Running, route: str, body: bytes, packing: type[bytes], with_key: bool
) -> None:
    answer = collector.post(route, packing(body), key=collector.key if with_key else None)
    assert answer.status_code in HONEST


def test_a_body_of_many_packed_parts_is_refused(collector: Running) -> None:
    assert collector.post("/v1/track", gzip.compress(b"") * 50 + gzipped(raw("parts"))).status_code == 200
    assert collector.post("/v1/track", gzip.compress(b"") * 100_000).status_code == 413
