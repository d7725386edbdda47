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
from collections.abc import AsyncIterator, Awaitable, Callable
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
from starlette.routing import Route

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

    async def collect(self, request: Request, route: str, read: Reader) -> Response:
        """Take the messages of one request."""
        return await self._answered(route, self._collect(request, read))

    async def webhook(self, request: Request) -> Response:
        """Take what a destination reports, once its signature is good."""
        return await self._answered("webhook", self._webhook(request))

    async def _answered(self, route: str, taking: Awaitable[Response]) -> Response:
        """The answer of a request, whatever keeps it from being taken; counted by route."""
        try:
            response = await taking
        except RefusedBodyError as refusal:
            response = _answer(refusal.status, refusal.reason)
        except ClientDisconnect:
            response = _answer(400, "The sender hung up.")
        except TransientIngestionError:
            response = _answer(503, "The event log cannot take this now; send it again.", retry=True)
        self.metrics.answered(route, response.status_code)
        return response

    async def _collect(  # noqa: PLR0911 (each refusal is one line of the list of answers)
        self, request: Request, read: Reader
    ) -> Response:
        given = _given_key(request)
        key = self.keys.find(given) if given is not None else None
        if given is not None and key is None:
            return self._no_key()
        if key is not None and (wait := self.rates.wait(key)):
            return _too_fast(wait)
        sent = await read_body(
            request, max_bytes=self.config.max_body_bytes, seconds=self.config.read_seconds
        )
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
        if len(found.raws) > self.config.max_messages:
            raise RefusedBodyError(
                413, f"More than {self.config.max_messages} messages in one request; send fewer at once."
            )
        if found.raws:
            self.rates.take(key, len(found.raws))
            gpc = request.headers.get("sec-gpc") == "1"
            await self.appender.append(list(requests.lines(found, key, received_at=received_at, gpc=gpc)))
            self.metrics.appended(found.wire, len(found.raws))
        return _answer(200)

    async def _keep_unreadable(self, body: bytes, key: WriteKey | None, received_at: datetime) -> Response:
        """A body that no later try will make readable: kept for a person to see, then refused for good."""
        if key is None:
            return self._no_key()
        if body:
            self.rates.take(key, 1)
            await self.appender.append([requests.unreadable_line(body, key, received_at=received_at)])
            self.metrics.appended("unreadable", 1)
        return _answer(400, "The body is not JSON of the form that this route takes.")

    def _no_key(self) -> Response:
        """401 for a key that is certainly wrong; while the keys cannot be read, none is certainly wrong."""
        if self.keys.is_sound:
            return _unauthorised()
        return _answer(503, "The write keys cannot be read now; send it again.", retry=True)

    async def _webhook(self, request: Request) -> Response:
        destination: str = request.path_params["destination"]
        sent = await read_body(
            request, max_bytes=self.config.max_body_bytes, seconds=self.config.read_seconds
        )
        received_at = self.clock()
        delivery_id = self.webhooks.delivery_id(destination, request.headers, sent)
        if delivery_id is None:
            return _answer(401, "No destination that reports here signed this message.")
        try:
            body = unpacked(sent, max_bytes=self.config.max_body_bytes)
        except TornBodyError as torn:
            body = torn.readable
        line = requests.webhook_line(body, destination, delivery_id=delivery_id, received_at=received_at)
        await self.appender.append([line])
        self.metrics.appended("webhook", 1)
        return _answer(200)

    async def browser_settings(self, request: Request) -> Response:
        """What the browser SDK asks for before it starts: send to this host, and nowhere else."""
        secret = request.path_params["write_key"]
        if self.keys.find(secret) is None:
            return self._no_key()
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
        return _answer(200)

    async def ready(self, _request: Request) -> Response:
        """This process can authenticate and write."""
        self.keys.refresh()
        failed_at = self.appender.failed_at
        if not self.keys.is_sound:
            return _answer(503, "The write keys cannot be read.", retry=True)
        if failed_at is not None and time.monotonic() - failed_at < READY_AFTER_SECONDS:
            return _answer(503, "The last write to the event log failed.", retry=True)
        if shutil.disk_usage(self.config.event_log).free < READY_FREE_BYTES:
            return _answer(503, "The disk of the event log is almost full.", retry=True)
        return _answer(200)

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
) -> Starlette:
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
    taken = [_post(collector, path, name, read) for name, paths, read in _readers() for path in paths]
    return Starlette(
        routes=[
            *taken,
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


def _post(collector: Collector, path: str, name: str, read: Reader) -> Route:
    async def take(request: Request) -> Response:
        return await collector.collect(request, name, read)

    return Route(path, take, methods=["POST"])


def _given_key(request: Request) -> str | None:
    """The write key of the headers: the user of Basic, or our own header; nothing when neither is there."""
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(encoded, validate=True).decode().partition(":")[0]
        except (binascii.Error, ValueError):
            return ""
    return request.headers.get("x-write-key")


def _answer(
    status: int, reason: str | None = None, *, retry: bool = False, seconds: int = RETRY_SECONDS
) -> Response:
    body: dict[str, object] = {"success": reason is None}
    if reason is not None:
        body["message"] = reason
    headers = {"Retry-After": str(seconds)} if retry else None
    return Response(orjson.dumps(body), status, headers, media_type="application/json")


def _too_fast(seconds: int) -> Response:
    reason = "This write key sends more events a second than it may; send it again later."
    return _answer(429, reason, retry=True, seconds=seconds)


def _unauthorised() -> Response:
    """The same answer whatever is wrong with the key, so that it tells nothing."""
    return _answer(401, "No write key of this collector: send one as the user of Basic authentication.")
