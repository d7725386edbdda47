"""Pushes batches as JSON over HTTP, to the built-in sandbox or any service of the same small protocol.

POST /lists/{list}/operations   {"key_field": …, "operations": [{"do": …, "key": …, "fields": {…}}]}, header
                                Idempotency-Key. `do` is upsert, insert (only if the key is not there), update
                                (only if it is), remove (from the list) or erase (the record of the key, from
                                every list); the last two have no fields. `send` is a message of the list's
                                name, once for each id: {"do": "send", "key": …, "id": …, "fields": {…}}
200                             {"results": [{"status": "delivered" | "rejected" | "deferred", "reason": …}]}
202                             {"receipt": "…"}: taken, to be done later; only if `can_resolve`
GET  /lists/{list}/receipts/{receipt}
                                {"receipt": "…", "state": "working"}, or {"receipt": "…", "state": "done",
                                "results": […]}, one for each operation of the request; 404: it is not known
POST /lists/{list}/read         {"keys": […]} -> {"members": {key: fields | null}}
POST /lists/{list}/sent         {"ids": […]} -> {"sent": [those of them that were sent]}
GET  /lists/{list}/members      {"members": {key: fields}, "next": "…" | null}, a page of any size; the next
                                is asked for with ?after= what `next` says, until that is null
"""

import asyncio
import email.utils
import re
import ssl
import urllib.parse
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from types import TracebackType
from typing import ClassVar, Literal, Self, cast

import httpx
import orjson
from pydantic import BaseModel, ConfigDict, Field

from activation.adapters.base import (
    DELIVERED,
    TELLS_NOTHING,
    Adapter,
    AdapterConfig,
    Batch,
    Capabilities,
    Operation,
    OperationKind,
    Outcome,
    OutcomeKind,
    Page,
    Rate,
    Receipt,
    Surroundings,
    Target,
)
from activation.errors import ConfigError, DestinationDownError
from activation.modes import MODES

BUILT_IN = "builtin:sandbox"
# A request that never left can be sent again without a thought; any other failure may have arrived.
NEVER_LEFT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
NOT_THERE = Outcome(OutcomeKind.DEFERRED, "not_there", retry_after=timedelta(0), concerns_batch=True)
CANNOT_EVER = (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.LocalProtocolError)
RECEIPT = re.compile(r"(.+)#([0-9]+)/([0-9]+)", re.DOTALL)  # of a request, the row's place, of how many
WRONG_PLACE = {
    401: "unauthorised",
    403: "forbidden",
    404: "no_such_address",
    405: "no_such_address",
    410: "gone",
}


class SecretReference(BaseModel):
    """The name of a secret; its value never stands in a file."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    secret: str


class RateConfig(BaseModel):
    """At most `limit` requests in every window of `seconds`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    limit: int = Field(gt=0)
    seconds: float = Field(gt=0)


class WebhookConfig(AdapterConfig):
    """Settings of a webhook destination; `url: builtin:sandbox` means the sandbox of this project."""

    url: str = Field(pattern=r"^(https?://.+|builtin:sandbox)$")
    token: SecretReference | None = None
    max_batch_rows: int = Field(default=500, gt=0, le=10_000)
    max_batch_bytes: int = Field(default=1_000_000, gt=0)
    rates: tuple[RateConfig, ...] = ()
    concurrency: int = Field(default=4, gt=0, le=100)
    timeout_seconds: float = Field(default=30, gt=0, le=60)
    idempotency_lifetime_hours: float = Field(default=24, ge=0)
    can_read_back: bool = True
    read_back_settles_seconds: float = Field(default=30, ge=0)
    can_resolve: bool = Field(default=False, description="Whether it may answer 202 and tell later.")
    resolves_within_seconds: float = Field(
        default=86_400, gt=0, description="How long after a 202 it may still be doing what it took."
    )


class WebhookAdapter(Adapter):
    """Adapter of webhook destinations."""

    type_name: ClassVar[str] = "webhook"
    config_type: ClassVar[type[AdapterConfig]] = WebhookConfig

    def __init__(self, config: WebhookConfig, surroundings: Surroundings) -> None:
        self._config = config
        self._surroundings = surroundings
        self._http: httpx.AsyncClient | None = None

    @classmethod
    def build(cls, config: AdapterConfig, surroundings: Surroundings) -> Self:
        """Make the adapter; nothing is opened yet."""
        return cls(cast(WebhookConfig, config), surroundings)

    @classmethod
    def capabilities(cls, config: AdapterConfig) -> Capabilities:
        """Idempotent for the configured lifetime; readable and listable unless the settings say otherwise."""
        settings = cast(WebhookConfig, config)
        lifetime = timedelta(hours=settings.idempotency_lifetime_hours)
        return Capabilities(
            modes=frozenset(MODES) if settings.can_read_back else frozenset(MODES) - {"mirror_exclusive"},
            max_batch_rows=settings.max_batch_rows,
            max_batch_bytes=settings.max_batch_bytes,
            rates=tuple(Rate(rate.limit, rate.seconds) for rate in settings.rates),
            idempotency_lifetime=lifetime or None,
            can_read_back=settings.can_read_back,
            read_back_settles=timedelta(seconds=settings.read_back_settles_seconds),
            can_list_members=settings.can_read_back,
            can_resolve=settings.can_resolve,
            resolves_within=timedelta(seconds=settings.resolves_within_seconds * settings.can_resolve),
            max_receipts=settings.max_batch_rows,
            concurrency=settings.concurrency,
        )

    async def __aenter__(self) -> Self:
        """Open the connection pool."""
        url = self._surroundings.sandbox_url() if self._config.url == BUILT_IN else self._config.url
        headers = {}
        if self._config.token is not None:
            headers["Authorization"] = (
                f"Bearer {self._surroundings.resolve_secret(self._config.token.secret)}"
            )
        try:
            self._http = httpx.AsyncClient(
                base_url=url,
                headers=headers,
                timeout=self._config.timeout_seconds,
                verify=_trusted_certificates(),
                trust_env=False,
            )
        except httpx.InvalidURL as error:
            raise ConfigError(
                f"destinations.yml: {self._surroundings.destination}.url: not an address ({error}); "
                "correct it."
            ) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the connection pool."""
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    async def deliver(self, batch: Batch) -> Sequence[Outcome]:
        """Send the batch once; the answer to the whole request is spread over its operations."""
        size = len(batch.operations)
        response = await self._call(
            "POST",
            f"/lists/{batch.target.list_name}/operations",
            content=_body(batch),
            headers={"Idempotency-Key": batch.idempotency_key, "Content-Type": "application/json"},
        )
        if isinstance(response, Outcome):
            return [response] * size
        if response.status_code == httpx.codes.ACCEPTED and self._config.can_resolve:
            return _accepted(response, size)
        if response.status_code != httpx.codes.OK:
            return [whole_answer(response)] * size
        try:
            results = orjson.loads(response.content)["results"]
            if len(results) != size:
                raise ValueError("as many results as operations were expected")
            return [_row_answer(result) for result in results]
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            return [Outcome(OutcomeKind.UNKNOWN, "unreadable_answer", concerns_batch=True)] * size

    async def resolve(self, target: Target, receipts: Sequence[Receipt]) -> Sequence[Outcome]:
        """Ask for the one receipt of the request that they travelled in; it has one result for each row."""
        answers: dict[str, Outcome | list[Outcome]] = {}
        found = []
        for receipt in receipts:
            known = RECEIPT.fullmatch(receipt.text)
            if known is None:
                found.append(Outcome(OutcomeKind.UNKNOWN, "receipt_of_another"))
                continue
            text, position, rows = known[1], int(known[2]), int(known[3])
            if text not in answers:
                answers[text] = await self._ask(target, text)
            answer = answers[text]
            if isinstance(answer, list):
                answer = answer[position] if len(answer) == rows else TELLS_NOTHING
            found.append(answer)
        return found

    async def read_back(self, batch: Batch) -> Sequence[Outcome]:
        """Compare the destination's members, or the messages it sent, with what each operation wanted."""
        size = len(batch.operations)
        if batch.target.mode == "append":
            return await self._read_sent(batch)
        response = await self._call(
            "POST",
            f"/lists/{batch.target.list_name}/read",
            content=orjson.dumps({"keys": [operation.destination_key for operation in batch.operations]}),
            headers={"Content-Type": "application/json"},
        )
        if isinstance(response, Outcome) or response.status_code != httpx.codes.OK:
            return [Outcome(OutcomeKind.UNKNOWN, "read_back_failed", concerns_batch=True)] * size
        try:
            members = orjson.loads(response.content)["members"]
            return [_held(operation, members[operation.destination_key]) for operation in batch.operations]
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            return [Outcome(OutcomeKind.UNKNOWN, "unreadable_answer", concerns_batch=True)] * size

    async def _read_sent(self, batch: Batch) -> Sequence[Outcome]:
        size = len(batch.operations)
        response = await self._call(
            "POST",
            f"/lists/{batch.target.list_name}/sent",
            content=orjson.dumps({"ids": [operation.operation_id for operation in batch.operations]}),
            headers={"Content-Type": "application/json"},
        )
        if isinstance(response, Outcome) or response.status_code != httpx.codes.OK:
            return [Outcome(OutcomeKind.UNKNOWN, "read_back_failed", concerns_batch=True)] * size
        try:
            sent = {str(identity) for identity in orjson.loads(response.content)["sent"]}
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return [Outcome(OutcomeKind.UNKNOWN, "unreadable_answer", concerns_batch=True)] * size
        return [DELIVERED if operation.operation_id in sent else NOT_THERE for operation in batch.operations]

    async def read(self, target: Target, keys: Sequence[str]) -> dict[str, str]:
        """What the destination holds of those keys."""
        response = await self._call(
            "POST",
            f"/lists/{target.list_name}/read",
            content=orjson.dumps({"keys": list(keys)}),
            headers={"Content-Type": "application/json"},
        )
        found = response if isinstance(response, Outcome) else _page(response)
        if isinstance(found, Outcome):
            raise DestinationDownError(
                f"{self._surroundings.destination} could not be read ({found.reason}); nothing was changed. "
                "Try again."
            )
        return dict(found.members)

    async def list_members(self, target: Target, after: str | None) -> Page | Outcome:
        """One page of the list; the destination says how large it is."""
        query = "" if after is None else f"?after={urllib.parse.quote(after, safe='')}"
        response = await self._call("GET", f"/lists/{target.list_name}/members{query}")
        return response if isinstance(response, Outcome) else _page(response, is_list=True)

    async def _ask(self, target: Target, receipt: str) -> Outcome | list[Outcome]:
        """What became of one request: an outcome for each of its rows, or one for all of them."""
        response = await self._call(
            "GET", f"/lists/{target.list_name}/receipts/{urllib.parse.quote(receipt, safe='')}"
        )
        return (
            replace(response, kind=OutcomeKind.ACCEPTED)
            if isinstance(response, Outcome)
            else _told(response, receipt)
        )

    async def _call(
        self,
        method: Literal["GET", "POST"],
        path: str,
        *,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response | Outcome:
        """The response, or the outcome that its absence means; the time limit covers the whole exchange."""
        if self._http is None:
            raise RuntimeError("the adapter is used outside its `async with` block")
        try:
            async with asyncio.timeout(self._config.timeout_seconds):
                return await self._http.request(method, path, content=content, headers=headers)
        except NEVER_LEFT:
            return Outcome(OutcomeKind.DEFERRED, "unreachable", concerns_batch=True)
        except CANNOT_EVER:
            return Outcome(OutcomeKind.DEFERRED, "bad_address", concerns_batch=True, stops_destination=True)
        except (TimeoutError, httpx.TimeoutException):
            return Outcome(OutcomeKind.UNKNOWN, "timeout", concerns_batch=True)
        except httpx.HTTPError as error:
            return Outcome(OutcomeKind.UNKNOWN, f"broken_answer_{type(error).__name__}", concerns_batch=True)


@cache
def _trusted_certificates() -> ssl.SSLContext:
    """The system's certificates, read once: it takes longer than most requests."""
    return ssl.create_default_context()


def _body(batch: Batch) -> bytes:
    """The same bytes at every attempt: payloads are the frozen texts, placed as they are."""
    operations: list[dict[str, object]] = []
    for operation in batch.operations:
        if operation.kind in (OperationKind.REMOVE, OperationKind.ERASE):
            operations.append({"do": operation.kind.value, "key": operation.destination_key})
        elif operation.kind is OperationKind.SEND:
            operations.append(
                {
                    "do": "send",
                    "key": operation.destination_key,
                    "id": operation.operation_id,
                    "fields": orjson.Fragment(operation.payload or "{}"),
                }
            )
        else:
            do = batch.target.mode if batch.target.mode in ("insert", "update") else "upsert"
            fields = orjson.Fragment(operation.payload or "{}")
            operations.append({"do": do, "key": operation.destination_key, "fields": fields})
    return orjson.dumps({"key_field": batch.target.key_field, "operations": operations})


def _accepted(response: httpx.Response, size: int) -> list[Outcome]:
    """One receipt for the whole request: that of a row also says its place, and of how many rows."""
    try:
        receipt = orjson.loads(response.content)["receipt"]
        if not isinstance(receipt, str) or not receipt:
            raise ValueError("a receipt was expected")
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return [Outcome(OutcomeKind.UNKNOWN, "unreadable_answer", concerns_batch=True)] * size
    return [Outcome(OutcomeKind.ACCEPTED, receipt=f"{receipt}#{position}/{size}") for position in range(size)]


def _told(response: httpx.Response, receipt: str) -> Outcome | list[Outcome]:
    """What an answer says about the rows of a request; one that says nothing leaves them accepted."""
    if response.status_code in (httpx.codes.NOT_FOUND, httpx.codes.GONE):
        return Outcome(OutcomeKind.UNKNOWN, "receipt_forgotten")
    if response.status_code != httpx.codes.OK:
        return replace(whole_answer(response), kind=OutcomeKind.ACCEPTED)
    try:
        answer = orjson.loads(response.content)
        if answer["receipt"] != receipt:
            return TELLS_NOTHING
        if answer["state"] == "working":
            return Outcome(OutcomeKind.ACCEPTED)
        return [_row_answer(result) for result in answer["results"]]
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return TELLS_NOTHING


def _page(response: httpx.Response, *, is_list: bool = False) -> Page | Outcome:
    """The members that an answer shows; a list has fields of each of them, and says where it goes on."""
    if response.status_code != httpx.codes.OK:
        return whole_answer(response)
    unreadable = Outcome(OutcomeKind.UNKNOWN, "unreadable_answer", concerns_batch=True)
    try:
        answer = orjson.loads(response.content)
        members = {key: fields for key, fields in answer["members"].items() if is_list or fields is not None}
        following = answer["next"] if is_list else None
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return unreadable
    if not all(isinstance(fields, dict) for fields in members.values()):
        return unreadable
    if following is not None and not (isinstance(following, str) and following):
        return unreadable
    texts = {
        key: orjson.dumps(fields, option=orjson.OPT_SORT_KEYS).decode() for key, fields in members.items()
    }
    return Page(texts, following)


def whole_answer(response: httpx.Response) -> Outcome:
    """What a status other than 200 says about every row of the request."""
    status = response.status_code
    retry_after = _retry_after(response)
    if status == httpx.codes.TOO_MANY_REQUESTS:
        return Outcome(OutcomeKind.DEFERRED, "rate_limited", retry_after=retry_after, concerns_batch=True)
    if status == httpx.codes.SERVICE_UNAVAILABLE and retry_after is not None:
        return Outcome(OutcomeKind.DEFERRED, "unavailable", retry_after=retry_after, concerns_batch=True)
    if status in WRONG_PLACE:
        return Outcome(OutcomeKind.DEFERRED, WRONG_PLACE[status], concerns_batch=True, stops_destination=True)
    if status in (400, 413, 422):
        return Outcome(OutcomeKind.REJECTED, f"http_{status}", concerns_batch=True)
    return Outcome(OutcomeKind.UNKNOWN, f"http_{status}", concerns_batch=True)


def _row_answer(result: dict[str, object]) -> Outcome:
    status, reason = result["status"], result.get("reason")
    if status == "delivered":
        return DELIVERED
    if status == "rejected":
        return Outcome(OutcomeKind.REJECTED, str(reason or "rejected"))
    if status == "deferred":
        return Outcome(OutcomeKind.DEFERRED, str(reason or "deferred"))
    raise ValueError("a status of the protocol was expected")


def _held(operation: Operation, fields: dict[str, object] | None) -> Outcome:
    if operation.kind in (OperationKind.REMOVE, OperationKind.ERASE):
        return DELIVERED if fields is None else NOT_THERE
    wanted: dict[str, object] = orjson.loads(operation.payload or "{}")
    is_there = fields is not None and all(
        field in fields and fields[field] == wanted[field] for field in wanted
    )
    return DELIVERED if is_there else NOT_THERE


def _retry_after(response: httpx.Response) -> timedelta | None:
    """RFC 9110 section 10.2.3: seconds, or a date compared with the answer's own Date."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isdigit():
        return timedelta(seconds=min(int(text), 86_400))
    try:
        until = email.utils.parsedate_to_datetime(text)
        now = email.utils.parsedate_to_datetime(response.headers["Date"])
    except (ValueError, KeyError, TypeError):
        return None
    until, now = (moment if moment.tzinfo else moment.replace(tzinfo=UTC) for moment in (until, now))
    wait: timedelta = cast(datetime, until) - cast(datetime, now)
    return max(timedelta(0), min(wait, timedelta(days=1)))
