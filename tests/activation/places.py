"""Where the conformance suite of adapters finds each adapter's destination.

A new adapter adds one `Place` to PLACES: where its destination is, and what that holds. One whose destination
may answer `accepted` also adds one to ANSWERS_LATER, where it does.
"""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from activation.adapters.base import (
    Adapter,
    AdapterConfig,
    Batch,
    Operation,
    OperationKind,
    Outcome,
    OutcomeKind,
    Page,
    Receipt,
    Surroundings,
    Target,
)
from activation.adapters.discovery import adapter_types
from activation.sandbox.app import SandboxRules
from activation.sandbox.server import SandboxServer
from tests.activation.world import FakeTime

WITHOUT_FIELDS = (OperationKind.REMOVE, OperationKind.ERASE)
SECRET = "zz-secret-41c"
NASTY = (
    "ann@x.org",
    'quo"te,comma@x.org',
    "line\nbreak@x.org",
    "größe-日本-👩‍👩‍👧@x.org",
    "=cmd()@x.org",
    " space @x.org",
)


@dataclass(frozen=True)
class Place:
    """One destination: its settings, the files around it, (key -> fields) of what it holds, what it sent."""

    settings: Mapping[str, object]
    folder: Path
    held: Callable[[], dict[str, object]]
    sent: Callable[[], list[object]]
    sandbox: SandboxServer | None = None
    wait: Callable[[], None] = lambda: None

    def config(self, type_name: str) -> AdapterConfig:
        return adapter_types()[type_name].config_type.model_validate(self.settings)

    def adapter(self, type_name: str) -> Adapter:
        kind = adapter_types()[type_name]
        surroundings = Surroundings(
            "place",
            self.folder / "files",
            lambda: self.sandbox.url if self.sandbox else "",
            lambda name: f"{SECRET}-{name}",
        )
        return kind.build(self.config(type_name), surroundings)


@contextmanager
def webhook_place(folder: Path) -> Iterator[Place]:
    rules = SandboxRules(requests_per_second=1000)
    with SandboxServer(folder / "sandbox.sqlite", clock=lambda: datetime.now(UTC), rules=rules) as sandbox:
        settings = {"url": "builtin:sandbox", "token": {"secret": "key"}, "timeout_seconds": 0.5}
        yield Place(
            settings,
            folder,
            lambda: {key: json.loads(fields) for key, fields in sandbox.store.members("l")},
            lambda: [json.loads(str(f)) for (f,) in sandbox.store.query("select fields from messages")],
            sandbox,
        )


@contextmanager
def file_place(folder: Path) -> Iterator[Place]:
    def held() -> dict[str, object]:
        pages = pages_of(Place({}, folder, dict, list).adapter("file"), target("file", "mirror"))
        return {key: json.loads(fields) for page in pages for key, fields in page.items()}

    def sent() -> list[object]:
        files = sorted((folder / "files").rglob("*.jsonl"))
        return [json.loads(line)["fields"] for file in files for line in file.read_text().splitlines()]

    yield Place({}, folder, held, sent)


@contextmanager
def later_webhook_place(folder: Path) -> Iterator[Place]:
    """Its clock stands still until it is moved: whoever waits for an answer moves it."""
    time = FakeTime()
    rules = SandboxRules(requests_per_second=1000, reject_keys="^refused", seconds_to_finish=60)
    with SandboxServer(folder / "sandbox.sqlite", clock=time, rules=rules) as sandbox:
        settings = {"url": "builtin:sandbox", "can_resolve": True, "timeout_seconds": 0.5}
        yield Place(
            settings,
            folder,
            lambda: {key: json.loads(fields) for key, fields in sandbox.store.members("l")},
            lambda: [json.loads(str(f)) for (f,) in sandbox.store.query("select fields from messages")],
            sandbox,
            lambda: setattr(time, "now", time.now + timedelta(minutes=1)),
        )


PLACES = {"webhook": webhook_place, "file": file_place}
# where an adapter that declares `can_resolve` is answered later; `wait` lets the time of the work pass
ANSWERS_LATER = {"webhook": later_webhook_place}


def target(type_name: str, mode: str) -> Target:
    options = {"format": "jsonl"} if type_name == "file" else {}
    options_type = adapter_types()[type_name].options_type
    return Target("s", mode, "l", "key", ("key", "name"), options_type.model_validate(options))


def batch(place: Target, number: int, *rows: tuple[OperationKind, str, object]) -> Batch:
    operations = tuple(
        Operation(f"o{number}-{position}", kind, key, None if kind in WITHOUT_FIELDS else _canonical(fields))
        for position, (kind, key, fields) in enumerate(rows)
    )
    return Batch(number, f"key-{number}", 1, place, operations)


def _canonical(fields: object) -> str:
    return json.dumps(fields, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def deliver(adapter: Adapter, *batches: Batch) -> list[Sequence[Outcome]]:
    """Send them one after the other in one opening of the adapter, and finish."""

    async def send() -> list[Sequence[Outcome]]:
        async with adapter:
            found = [await adapter.deliver(each) for each in batches]
            await adapter.finish(batches[0].target)
            return found

    return asyncio.run(send())


def pages_of(adapter: Adapter, place: Target) -> list[dict[str, str]]:
    """What it lists, page by page."""

    async def ask() -> list[dict[str, str]]:
        async with adapter:
            pages: list[dict[str, str]] = []
            after = None
            while True:
                page = await adapter.list_members(place, after)
                assert isinstance(page, Page), page
                pages.append(dict(page.members))
                after = page.next
                if after is None:
                    return pages

    return asyncio.run(ask())


def kinds(outcomes: Sequence[Outcome]) -> list[OutcomeKind]:
    return [outcome.kind for outcome in outcomes]


def resolve(
    adapter: Adapter, place: Target, once: Batch, answers: Sequence[Outcome], *, but: tuple[int, ...] = ()
) -> Sequence[Outcome]:
    """Ask what became of the rows of a batch that were accepted, in an opening of its own."""
    rows = [
        Receipt(answer.receipt or "", operation)
        for position, (operation, answer) in enumerate(zip(once.operations, answers, strict=True))
        if position not in but
    ]

    async def ask() -> Sequence[Outcome]:
        async with adapter:
            return await adapter.resolve(place, rows)

    return asyncio.run(ask())
