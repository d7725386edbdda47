"""The routes of the collector: who is it, is it within bounds, is it on the disk; then the answer.

A sender is told 200 once its messages are durable. It is told 400 only for what it must never send again,
because SDKs drop what is answered so; what was readable of it is in the log all the same. 503 asks it to
come again. docs/decisions/0011-collector.md says why.
"""

import base64
import binascii
import contextlib
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

import orjson
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ingestion.collector import requests
from ingestion.collector.appender import Appender
from ingestion.collector.bodies import RefusedBodyError, TornBodyError, read_body, unpacked
from ingestion.collector.config import CollectorConfig
from ingestion.collector.keys import KeyFile, KeyRing, WriteKey
from ingestion.collector.metrics import Metrics
from ingestion.collector.openapi import OPENAPI_PATH, openapi
from ingestion.collector.rates import Rates
from ingestion.collector.requests import CALLS, Messages, UnreadableBodyError
from ingestion.collector.webhooks import SecretWebhook, Webhooks
from ingestion.errors import TransientIngestionError
from ingestion.event_log import EventLog

RETRY_SECONDS: Final = 5
# A collector whose disk has less room, or could not write a moment ago, asks for no more senders.
READY_FREE_BYTES: Final = 64 * 1024 * 1024
READY_AFTER_SECONDS: Final = 5.0
Reader = Callable[[bytes], Messages]
# The headers of a request by their names in lower case; the last counts of those that stand twice.
Headers = Mapping[bytes, bytes]
_Take = Callable[[Headers, Receive], Awaitable["_Answer"]]


@dataclass(frozen=True)
class Collector:
    """What the routes share."""

    config: CollectorConfig
    keys: KeyRing
    appender: Appender
    metrics: Metrics
    clock: Callable[[], datetime]
    rates: Rates
    webhooks: Webhooks

    async def collect(self, headers: Headers, receive: Receive, route: str, read: Reader) -> "_Answer":
        """Take the messages of one request."""
        return await self._answered(route, self._collect(headers, receive, read))

    async def webhook(self, request: Request) -> Response:
        """Take what a destination reports, once its signature is good."""
        return (await self._answered("webhook", self._webhook(request))).response()

    async def _answered(self, route: str, taking: "Awaitable[_Answer]") -> "_Answer":
        """The answer of a request, whatever keeps it from being taken; counted by route."""
        try:
            answer = await taking
        except RefusedBodyError as refusal:
            answer = _Answer(refusal.status, refusal.reason)
        except ClientDisconnect:
            answer = _Answer(400, "The sender hung up, or took too long.")
        except TransientIngestionError:
            answer = _later("The event log cannot take this now; send it again.")
        self.metrics.answered(route, answer.status)
        return answer

    async def _collect(  # noqa: PLR0911 (each refusal is one line of the list of answers)
        self, headers: Headers, receive: Receive, read: Reader
    ) -> "_Answer":
        given = _given_key(headers)
        key = self.keys.find(given) if given is not None else None
        if given is not None and key is None:
            return self._no_key()
        if key is not None and (wait := self.rates.wait(key)):
            return _too_fast(wait)
        sent = await read_body(headers, receive, max_bytes=self.config.max_body_bytes)
        received_at = self.clock()
        try:
            body = unpacked(sent, max_bytes=self.config.max_body_bytes)
            found = read(body)
        except TornBodyError as torn:
            return await self._keep_unreadable(torn.readable or sent, key, received_at)
        except UnreadableBodyError:
            return await self._keep_unreadable(body, key, received_at)
        if key is None:
            key = next((known for known in map(self.keys.find, found.keys) if known), None)
        if key is None:
            return self._no_key()
        if wait := self.rates.wait(key):
            return _too_fast(wait)
        count = len(found.raws)
        if count > self.config.max_messages:
            raise RefusedBodyError(
                413, f"More than {self.config.max_messages} messages in one request; send fewer at once."
            )
        if count:
            self.rates.take(key, count)
            gpc = headers.get(b"sec-gpc") == b"1"
            await self.appender.append(requests.lines(found, key, received_at=received_at, gpc=gpc))
            self.metrics.appended(found.wire, count)
        return _TAKEN

    async def _keep_unreadable(self, body: bytes, key: WriteKey | None, received_at: datetime) -> "_Answer":
        """A body that no later try will make readable: kept for a person to see, then refused for good."""
        if key is None:
            return self._no_key()
        if body:
            self.rates.take(key, 1)
            await self.appender.append(requests.unreadable_line(body, key, received_at=received_at))
            self.metrics.appended("unreadable", 1)
        return _Answer(400, "The body is not JSON of the form that this route takes.")

    def _no_key(self) -> "_Answer":
        """401 for a key that is certainly wrong; while the keys cannot be read, none is certainly wrong."""
        if self.keys.is_sound:
            # the same whatever is wrong with the key, so that it tells nothing
            return _Answer(
                401, "No write key of this collector: send one as the user of Basic authentication."
            )
        return _later("The write keys cannot be read now; send it again.")

    async def _webhook(self, request: Request) -> "_Answer":
        destination: str = request.path_params["destination"]
        headers = dict(request.scope["headers"])
        sent = await read_body(headers, request.receive, max_bytes=self.config.max_body_bytes)
        received_at = self.clock()
        delivery_id = self.webhooks.delivery_id(destination, request.headers, sent)
        if delivery_id is None:
            return _Answer(401, "No destination that reports here signed this message.")
        try:
            body = unpacked(sent, max_bytes=self.config.max_body_bytes)
        except TornBodyError as torn:
            body = torn.readable
        line = requests.webhook_line(body, destination, delivery_id=delivery_id, received_at=received_at)
        await self.appender.append(line)
        self.metrics.appended("webhook", 1)
        return _TAKEN

    async def browser_settings(self, request: Request) -> Response:
        """What the browser SDK asks for before it starts: send to this host, and nowhere else."""
        secret = request.path_params["write_key"]
        if self.keys.find(secret) is None:
            return self._no_key().response()
        url = request.url
        settings = {
            "integrations": {
                "Segment.io": {
                    "apiKey": secret,
                    "apiHost": f"{url.netloc}/v1",
                    "protocol": url.scheme,
                    "unbundledIntegrations": [],
                    "addBundledMetadata": True,
                    "maybeBundledConfigIds": {},
                }
            },
            "plan": {
                call: {"__default": {"enabled": True, "integrations": {}}}
                for call in ("track", "identify", "group")
            },
            "edgeFunction": {},
            "analyticsNextEnabled": True,
            "middlewareSettings": {},
            "enabledMiddleware": {},
            # a rate above zero would have the SDK report its own metrics to its vendor
            "metrics": {"sampleRate": 0},
            "legacyVideoPluginsEnabled": False,
            "remotePlugins": [],
        }
        return Response(orjson.dumps(settings), media_type="application/json")

    async def live(self, _request: Request) -> Response:
        """This process answers."""
        return _TAKEN.response()

    async def ready(self, _request: Request) -> Response:
        """This process can authenticate and write."""
        self.keys.refresh()
        failed_at = self.appender.failed_at
        answer = _TAKEN
        if not self.keys.is_sound:
            answer = _later("The write keys cannot be read.")
        elif failed_at is not None and time.monotonic() - failed_at < READY_AFTER_SECONDS:
            answer = _later("The last write to the event log failed.")
        elif shutil.disk_usage(self.config.event_log).free < READY_FREE_BYTES:
            answer = _later("The disk of the event log is almost full.")
        return answer.response()

    async def show_metrics(self, _request: Request) -> Response:
        """The counters of this worker."""
        return Response(self.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def describe(self, _request: Request) -> Response:
        """What every route takes and answers."""
        return Response(orjson.dumps(description()), media_type="application/json")

    @contextlib.asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Write while the server runs, and what still waits when it ends."""
        self.keys.refresh()
        self.appender.start()
        yield
        await self.appender.close()


def build_app(
    config: CollectorConfig,
    *,
    worker: str,
    clock: Callable[[], datetime],
    webhooks: tuple[SecretWebhook, ...] = (),
) -> ASGIApp:
    """The collector as an ASGI application."""
    metrics = Metrics(worker)
    collector = Collector(
        config=config,
        keys=KeyRing(KeyFile(config.keys_file), clock),
        appender=Appender(EventLog(config.event_log), metrics, queue_bytes=config.queue_bytes),
        metrics=metrics,
        clock=clock,
        rates=Rates(1 / config.workers, time.monotonic),
        webhooks=Webhooks(webhooks),
    )
    taken = {
        path: partial(collector.collect, route=name, read=read)
        for name, paths, read in _readers()
        for path in paths
    }
    rest = Starlette(
        routes=[
            *(Route(path, _endpoint(take), methods=["POST"]) for path, take in taken.items()),
            Route("/v1/webhooks/{destination}", collector.webhook, methods=["POST"]),
            Route("/v1/projects/{write_key}/settings", collector.browser_settings, methods=["GET"]),
            Route("/livez", collector.live, methods=["GET"]),
            Route("/readyz", collector.ready, methods=["GET"]),
            Route("/metrics", collector.show_metrics, methods=["GET"]),
            Route(OPENAPI_PATH, collector.describe, methods=["GET"]),
        ],
        middleware=[
            # A write key is made to stand in pages, and no cookie is looked at: any site may send.
            Middleware(
                CORSMiddleware,
                allow_origins=["*"],
                allow_methods=["GET", "POST"],
                allow_headers=["*"],
                max_age=86_400,
            )
        ],
        lifespan=collector.lifespan,
    )
    return _ShortWay(taken, rest)


def description() -> dict[str, Any]:
    """What every route takes and answers, as OpenAPI."""
    return openapi((name, paths) for name, paths, _ in _readers())


def _readers() -> list[tuple[str, tuple[str, ...], Reader]]:
    """The name of each route, its paths, and how a body that comes there is read."""
    singles: list[tuple[str, tuple[str, ...], Reader]] = [
        (call, (f"/v1/{call}", f"/v1/{call[0]}", f"/{call[0]}"), partial(requests.segment_message, call=call))
        for call in CALLS
    ]
    return [
        ("segment_batch", ("/v1/batch", "/v1/b", "/b"), requests.segment_batch),
        *singles,
        ("posthog", ("/batch", "/batch/", "/capture", "/capture/"), requests.posthog),
        ("snowplow", ("/com.snowplowanalytics.snowplow/tp2",), requests.snowplow),
        ("events", ("/v1/events",), requests.own_events),
    ]


class _ShortWay:
    """Brings what servers send straight to its route; the search for a route would cost more than the rest.

    Requests of pages, which need the headers of CORS, and all others go through Starlette.
    """

    def __init__(self, taken: Mapping[str, _Take], rest: Starlette) -> None:
        self._taken = taken
        self._rest = rest

    @property
    def routes(self) -> list[BaseRoute]:
        """All that is served; what the short way takes, the long way takes too."""
        return self._rest.routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or do what the server asks at its start and end."""
        take = self._taken.get(scope["path"]) if scope["type"] == "http" else None
        if take is None or scope["method"] != "POST" or b"origin" in (headers := dict(scope["headers"])):
            await self._rest(scope, receive, send)
            return
        answer = await take(headers, receive)
        start, body = answer.messages()
        await send(start)
        await send(body)


def _endpoint(take: _Take) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return (await take(dict(request.scope["headers"]), request.receive)).response()

    return endpoint


def _given_key(headers: Headers) -> str | None:
    """The write key of the headers: the user of Basic, or our own header; nothing when neither is there."""
    scheme, _, encoded = headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() == b"basic":
        try:
            return base64.b64decode(encoded, validate=True).decode().partition(":")[0]
        except (binascii.Error, ValueError):
            return ""
    given = headers.get(b"x-write-key")
    return None if given is None else given.decode("latin-1")


@dataclass(frozen=True)
class _Answer:
    """What a sender is told; without a reason, that its messages are kept."""

    status: int
    reason: str | None = None
    retry_seconds: int | None = None

    def response(self) -> Response:
        """The answer for a route of Starlette."""
        headers = None if self.retry_seconds is None else {"Retry-After": str(self.retry_seconds)}
        return Response(self._body(), self.status, headers, media_type="application/json")

    def messages(self) -> tuple[Message, Message]:
        """The same as the messages of ASGI."""
        return _TAKEN_MESSAGES if self is _TAKEN else self._messages()

    def _messages(self) -> tuple[Message, Message]:
        response = self.response()
        start = {
            "type": "http.response.start",
            "status": response.status_code,
            "headers": response.raw_headers,
        }
        return start, {"type": "http.response.body", "body": response.body}

    def _body(self) -> bytes:
        if self.reason is None:
            return orjson.dumps({"success": True})
        return orjson.dumps({"success": False, "message": self.reason})


_TAKEN: Final = _Answer(200)
_TAKEN_MESSAGES: Final = _TAKEN._messages()


def _later(reason: str, seconds: int = RETRY_SECONDS) -> _Answer:
    return _Answer(503, reason, seconds)


def _too_fast(seconds: int) -> _Answer:
    return _Answer(
        429, "This write key sends more events a second than it may; send it again later.", seconds
    )
