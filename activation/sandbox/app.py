"""The sandbox's doors: a channel that remembers, refuses bad rows, limits callers, and can be read back."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import cast

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route

from activation.adapters.base import Rate
from activation.limits import RateWindows
from activation.sandbox.answers import broken, json_answer
from activation.sandbox.faults import Fault, Faults
from activation.sandbox.jobs import Jobs, row_results
from activation.sandbox.store import Effect, SandboxStore
from activation.times import Clock

EMAIL = re.compile(r"^[^@\s]{1,64}@[^@\s.]+(\.[^@\s.]+)+$")  # as coarse as channels are
PHONE = re.compile(r"^\+[1-9][0-9]{6,14}$")
IDEMPOTENCY_LIFETIME = timedelta(hours=24)
MAX_OPERATIONS = 10_000
PAGE_ROWS = 5_000
CONDITIONAL = ("insert", "update")
WRITES = ("upsert", *CONDITIONAL)
REFUSALS = {
    "rate_limited": 429,
    "unavailable": 503,
    "server_error": 500,
    "unauthorised": 401,
    "bad_request": 400,
    "hang": 504,
}


@dataclass(frozen=True)
class SandboxRules:
    """How the channel behaves: its limits, the keys it refuses, whether it knows repeats, how slow it is.

    With `seconds_to_finish` it answers later: 202 and a receipt, and the work is done so long after that.
    """

    requests_per_second: int = 100
    reject_keys: str | None = None
    remembers_keys: bool = True
    seconds_to_commit: float = 0.0
    seconds_to_finish: float | None = None


class Sandbox:
    """The request handlers around one store."""

    def __init__(self, store: SandboxStore, *, rules: SandboxRules, faults: Faults, clock: Clock) -> None:
        self._store = store
        self._rejects = re.compile(rules.reject_keys) if rules.reject_keys else None
        self._windows = RateWindows([Rate(rules.requests_per_second, 1.0)])
        self._faults = faults
        self._remembers_keys = rules.remembers_keys
        self._seconds_to_commit = rules.seconds_to_commit
        self._clock = clock
        self._answers_later = rules.seconds_to_finish is not None
        self._jobs = Jobs(
            store, clock, rules.seconds_to_finish or 0.0, lifetime=IDEMPOTENCY_LIFETIME, effects=self._effects
        )

    def app(self) -> Starlette:
        """The routes."""
        return Starlette(
            routes=[
                Route("/lists/{list_name}/operations", self.take_operations, methods=["POST"]),
                Route("/lists/{list_name}/receipts/{receipt}", self.tell, methods=["GET"]),
                Route("/lists/{list_name}/read", self.read_members, methods=["POST"]),
                Route("/lists/{list_name}/sent", self.read_sent, methods=["POST"]),
                Route("/lists/{list_name}/members", self.list_members, methods=["GET"]),
                Route("/lists", self.list_lists, methods=["GET"]),
            ]
        )

    async def take_operations(self, request: Request) -> Response:
        """Upsert and remove by key; one result per row, the same answer again for a repeated key."""
        content = await request.body()
        self._jobs.work()
        fault = self._faults.take()
        idempotency_key = request.headers.get("Idempotency-Key") if self._remembers_keys else None
        body_hash = hashlib.sha256(content).hexdigest()
        operations = _parse(content)
        request_id = self._store.note_request(
            method="POST",
            path=request.url.path,
            idempotency_key=idempotency_key,
            body_hash=body_hash,
            operations=0 if operations is None else len(operations[1]),
            fault=fault.name if fault else None,
            now=self._clock().timestamp(),
        )
        response = await _fault_before(fault)
        is_replay = False
        if response is None:
            wait = self._windows.admit(self._clock())
            if wait:
                response = json_answer(
                    429, {"error": "rate limited"}, retry_after=max(1, round(wait.total_seconds() + 0.5))
                )
        if response is None and operations is None:
            response = json_answer(
                400, {"error": f"expected key_field and at most {MAX_OPERATIONS} operations"}
            )
        if response is None and operations is not None:
            if self._seconds_to_commit:
                await asyncio.sleep(self._seconds_to_commit)
            list_name = request.path_params["list_name"]
            if self._answers_later:
                response, is_replay = self._jobs.accept(
                    list_name,
                    content,
                    request_id=request_id,
                    idempotency_key=idempotency_key,
                    body_hash=body_hash,
                )
            else:
                response, is_replay = self._answer(
                    list_name,
                    *operations,
                    request_id=request_id,
                    idempotency_key=idempotency_key,
                    body_hash=body_hash,
                )
            response = await _fault_after(fault, response)
        assert response is not None  # noqa: S101 - one of the branches above answered
        self._store.note_answer(request_id, status=response.status_code, is_replay=is_replay)
        return response

    async def tell(self, request: Request) -> Response:
        """What became of a request that got a receipt."""
        self._jobs.work()
        return await self._jobs.answer(request.path_params["receipt"], self._faults.take_for_receipt())

    async def read_members(self, request: Request) -> Response:
        """What the list holds for those keys; null where it holds nothing."""
        self._jobs.work()
        try:
            keys = [str(key) for key in orjson.loads(await request.body())["keys"]]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return json_answer(400, {"error": "expected keys"})
        return json_answer(200, {"members": self._store.read(request.path_params["list_name"], keys)})

    async def read_sent(self, request: Request) -> Response:
        """Which of those ids a message was sent under."""
        self._jobs.work()
        try:
            ids = [str(identity) for identity in orjson.loads(await request.body())["ids"]]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return json_answer(400, {"error": "expected ids"})
        return json_answer(200, {"sent": self._store.sent(request.path_params["list_name"], ids)})

    async def list_members(self, request: Request) -> Response:
        """One page of the members, in order of key; `next` is the last key of a page that is full."""
        self._jobs.work()
        after = request.query_params.get("after")
        page = list(self._store.members(request.path_params["list_name"], after=after, rows=PAGE_ROWS))
        members = {key: orjson.Fragment(fields) for key, fields in page}
        is_full = len(page) == PAGE_ROWS
        return json_answer(200, {"members": members, "next": page[-1][0] if is_full else None})

    async def list_lists(self, _: Request) -> Response:
        """Each list with its size."""
        self._jobs.work()
        return json_answer(200, {"lists": self._store.counts()})

    def _answer(
        self,
        list_name: str,
        key_field: str,
        operations: list[dict[str, object]],
        *,
        request_id: int,
        idempotency_key: str | None,
        body_hash: str,
    ) -> tuple[Response, bool]:
        now = self._clock()
        if idempotency_key:
            not_before = (now - IDEMPOTENCY_LIFETIME).timestamp()
            remembered = self._store.remembered(idempotency_key, not_before=not_before)
            if remembered is not None:
                if remembered[0] != body_hash:
                    return json_answer(
                        409, {"error": "this idempotency key was used with another body"}
                    ), False
                return Response(remembered[1], media_type="application/json"), True
        effects = self._effects(list_name, key_field, operations)
        answer = orjson.dumps({"results": row_results(effects)})
        self._store.apply(
            list_name,
            effects,
            request_id=request_id,
            idempotency_key=idempotency_key,
            body_hash=body_hash,
            answer=answer,
            now=now.timestamp(),
        )
        return Response(answer, media_type="application/json"), False

    def _effects(self, list_name: str, key_field: str, operations: list[dict[str, object]]) -> list[Effect]:
        """What these operations come to now."""
        keys = [str(operation.get("key")) for operation in operations if operation.get("do") in CONDITIONAL]
        there = {key for key, fields in self._store.read(list_name, keys).items() if fields is not None}
        return [self._effect(key_field, operation, there) for operation in operations]

    def _effect(self, key_field: str, operation: dict[str, object], there: set[str]) -> Effect:
        """`there`: which keys of conditional operations the list holds; grows with those of this request."""
        key, do = str(operation.get("key")), str(operation.get("do"))
        fields = operation.get("fields")
        message_id = str(operation["id"]) if do == "send" and operation.get("id") else None
        address = str(fields.get(key_field)) if do == "send" and isinstance(fields, dict) else key
        text = orjson.dumps(fields if isinstance(fields, dict) else {}, option=orjson.OPT_SORT_KEYS).decode()
        reason = None
        if do not in (*WRITES, "remove", "erase", "send"):
            reason = "unknown_operation"
        elif do in (*WRITES, "send") and self._rejects is not None and self._rejects.search(address):
            reason = "blocked_by_rule"
        elif do in (*WRITES, "send") and not _is_well_formed(key_field, address):
            reason = f"malformed_{key_field}"
        elif do == "send" and message_id is None:
            reason = "no_id"
        elif do == "insert" and key in there:
            reason = "exists"
        elif do == "update" and key not in there:
            reason = "not_found"
        elif do == "insert":
            there.add(key)
        return Effect(key, do, text, "rejected" if reason else "delivered", reason, message_id)


def _is_well_formed(key_field: str, key: str) -> bool:
    if key_field == "phone":
        return PHONE.match(key) is not None
    if key_field != "email":
        return bool(key)
    return EMAIL.match(key) is not None


def _parse(content: bytes) -> tuple[str, list[dict[str, object]]] | None:
    try:
        body = orjson.loads(content)
        operations = body["operations"]
        key_field = body["key_field"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
    is_usable = isinstance(operations, list) and len(operations) <= MAX_OPERATIONS
    if not is_usable or not all(isinstance(operation, dict) for operation in operations):
        return None
    return str(key_field), cast(list[dict[str, object]], operations)


async def _fault_before(fault: Fault | None) -> Response | None:
    """The answer of a fault that happens before anything is done; None if there is none."""
    if fault is None:
        return None
    if fault.name == "html_page":
        return HTMLResponse("<html><body>Please sign in to the guest network.</body></html>")
    if fault.name == "hang":
        await asyncio.sleep(fault.hold)
    if fault.name == "cut_off":
        return StreamingResponse(broken(b'{"results": ['), media_type="application/json")
    status = REFUSALS.get(fault.name)
    return (
        None if status is None else json_answer(status, {"error": fault.name}, retry_after=fault.retry_after)
    )


async def _fault_after(fault: Fault | None, response: Response) -> Response:
    """The answer of a fault that happens after everything was done."""
    if fault is None:
        return response
    body = bytes(response.body)
    json_type = "application/json"
    match fault.name:
        case "gateway_error_after_commit":
            response = HTMLResponse("<html><body>502 Bad Gateway</body></html>", status_code=502)
        case "half_answer_after_commit":
            response = Response(body[: len(body) // 2], response.status_code, media_type=json_type)
        case "hang_after_commit":
            await asyncio.sleep(fault.hold)
        case "cut_off_after_commit":
            response = StreamingResponse(broken(body), response.status_code, media_type=json_type)
        case "slow_drip_after_commit":
            content = _dripping(body, fault.hold)
            response = StreamingResponse(content, response.status_code, media_type=json_type)
        case "twice_answered_after_commit":
            response = Response(body * 2, response.status_code, media_type=json_type)
        case "short_answer_after_commit":
            results = orjson.loads(body).get("results", [])
            response = json_answer(response.status_code, {"results": results[:-1]})
        case "text_after_commit":
            response = Response(body, response.status_code, media_type="text/plain")
    return response


async def _dripping(content: bytes, seconds: float) -> AsyncIterator[bytes]:
    """An answer that is never long enough."""
    for position in range(len(content)):
        yield content[position : position + 1]
        await asyncio.sleep(seconds / len(content))
