"""The sandbox as a destination that answers later: a receipt for each request, and the work in its time."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import cast

import orjson
from starlette.responses import HTMLResponse, Response, StreamingResponse

from activation.sandbox.answers import broken, json_answer
from activation.sandbox.faults import Fault
from activation.sandbox.store import Effect, SandboxStore
from activation.times import Clock

NEVER = 1e15  # seconds since 1970
Operations = list[dict[str, object]]


@dataclass(frozen=True)
class Jobs:
    """Everything that was taken and is done later. It stands in the store, so it outlives the process.

    What is due is done when the next request of any kind arrives, in order, each job once. `effects` says
    what a list, a key field and operations come to.
    """

    store: SandboxStore
    clock: Clock
    seconds_to_finish: float
    lifetime: timedelta
    effects: Callable[[str, str, Operations], list[Effect]]

    def accept(
        self, list_name: str, content: bytes, *, request_id: int, idempotency_key: str | None, body_hash: str
    ) -> tuple[Response, bool]:
        """A receipt for the request; the same again, and True, for a key that is known."""
        now = self.clock()
        if idempotency_key:
            known = self.store.query(
                "select receipt, body_hash from jobs where idempotency_key = ? and accepted_at >= ?",
                (idempotency_key, (now - self.lifetime).timestamp()),
            )
            if known:
                receipt, former_hash = known[-1]
                if former_hash != body_hash:
                    return json_answer(409, {"error": "this key was used with another body"}), False
                return json_answer(202, {"receipt": receipt}), True
        receipt = f"r{request_id}"
        self.store.change(
            "insert into jobs (receipt, list_name, request_id, idempotency_key, body_hash, body, accepted_at,"
            " due_at) values (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                receipt, list_name, request_id, idempotency_key, body_hash, content, now.timestamp(),
                now.timestamp() + self.seconds_to_finish,
            ),
        )  # fmt: skip
        return json_answer(202, {"receipt": receipt}), False

    def work(self) -> None:
        """Do what is due."""
        due = self.store.query(
            "select receipt, list_name, request_id, body, is_put_off from jobs where results is null"
            " and due_at <= ? order by due_at, request_id",
            (self.clock().timestamp(),),
        )
        for receipt, list_name, request_id, content, is_put_off in due:
            body = orjson.loads(cast(bytes, content))
            effects = self.effects(str(list_name), str(body["key_field"]), body["operations"])
            if is_put_off:
                effects = [replace(effect, status="deferred", reason="put_off") for effect in effects]
            self.store.apply(
                str(list_name),
                effects,
                request_id=cast(int, request_id),
                idempotency_key=None,
                body_hash="",
                answer=orjson.dumps(row_results(effects)),
                now=self.clock().timestamp(),
                receipt=str(receipt),
            )

    async def answer(self, receipt: str, fault: Fault | None) -> Response:
        """How far a job is, and what became of each row once it is done."""
        if fault is not None:
            self._bring_about(receipt, fault)
        row = self.store.query("select results from jobs where receipt = ? and is_forgotten = 0", (receipt,))
        if not row:
            return json_answer(404, {"error": "no such receipt"})
        (results,) = row[0]
        content: dict[str, object] = {"receipt": receipt, "state": "working"}
        if results is not None:
            content |= {"state": "done", "results": orjson.loads(cast(bytes, results))}
        return await _failed(fault, content)

    def _bring_about(self, receipt: str, fault: Fault) -> None:
        """Faults that change what becomes of the job."""
        statement = {
            "receipt_forgotten": "update jobs set is_forgotten = 1 where receipt = ?",
            "work_forgotten": f"update jobs set is_forgotten = 1, due_at = {NEVER} where receipt = ?",
            "never_finished": f"update jobs set due_at = {NEVER} where receipt = ?",
            "rows_put_off": "update jobs set is_put_off = 1 where receipt = ?",
        }.get(fault.name)
        if statement is not None:
            self.store.change(statement, (receipt,))


def row_results(effects: Sequence[Effect]) -> list[dict[str, str]]:
    """One result for each row, as it is answered."""
    return [
        {"status": effect.status, "reason": effect.reason} if effect.reason else {"status": effect.status}
        for effect in effects
    ]


async def _failed(fault: Fault | None, content: dict[str, object]) -> Response:
    """The answer, or what a fault makes of it."""
    body = orjson.dumps(content)
    match fault.name if fault else None:
        case "status_rate_limited":
            return json_answer(
                429, {"error": "rate limited"}, retry_after=fault.retry_after if fault else None
            )
        case "status_error":
            return json_answer(500, {"error": "server error"})
        case "status_page":
            return HTMLResponse("<html><body>Please sign in to the guest network.</body></html>")
        case "status_hang":
            await asyncio.sleep(fault.hold if fault else 0)
        case "status_cut_off":
            return StreamingResponse(broken(body), media_type="application/json")
        case "status_half":
            body = body[: len(body) // 2]
        case "status_twice":
            body = body * 2
        case "status_of_another":
            results = content.get("results")
            rows = len(results) if isinstance(results, list) else 1
            other = {"receipt": "r0", "state": "done", "results": [{"status": "delivered"}] * rows}
            body = orjson.dumps(other)
        case "status_short":
            results = content.get("results")
            body = orjson.dumps(
                {**content, "state": "done", "results": results[:-1] if isinstance(results, list) else []}
            )
    return Response(body, media_type="application/json")
