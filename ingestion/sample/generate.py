"""Generates the sample company: an event stream, a legacy extract, and the ground truth of both."""

from __future__ import annotations

import gc
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ingestion.errors import FatalIngestionError
from ingestion.sample.behaviour import Life
from ingestion.sample.broken import BROKEN_SHARE, CODES, send_broken_lines
from ingestion.sample.consent import Consents
from ingestion.sample.extract import EXTRACT_PATH, Company, load_company
from ingestion.sample.legacy_cloud import live_in_cloud
from ingestion.sample.legacy_files import ARCHIVE_NAME, write_extract
from ingestion.sample.manifest import (
    AS_OF,
    INVENTED,
    MANIFEST_NAME,
    REAL,
    STARTS_AT,
    SampleFile,
    SampleManifest,
    SampleUnreadableError,
    read_manifest,
)
from ingestion.sample.model import Household, Subscription
from ingestion.sample.people import Population
from ingestion.sample.profiles import Profile, profiles_of, spelled_twice
from ingestion.sample.randomness import stream
from ingestion.sample.truth import Truth, write_event_counts
from ingestion.sample.wire import Iso, Wire

DEFAULT_SEED: Final = 20101209


class SampleFolderError(FatalIngestionError):
    """The sample cannot be written where it was asked for."""


@dataclass(slots=True)
class _Totals:
    events: int = 0
    accepted: int = 0
    repeated: int = 0
    people: int = 0
    quarantined: dict[str, int] = field(default_factory=dict)
    events_by_name: dict[str, int] = field(default_factory=dict)
    files: list[SampleFile] = field(default_factory=list)

    def add(self, wire: Wire) -> None:
        self.events += len(wire.lines)
        self.accepted += wire.accepted
        self.repeated += wire.repeated
        for mine, theirs in (
            (self.quarantined, wire.quarantined),
            (self.events_by_name, wire.events_by_name),
        ):
            for name, count in theirs.items():
                mine[name] = mine.get(name, 0) + count


def write_sample(
    out: Path,
    *,
    seed: int = DEFAULT_SEED,
    events: int | None = None,
    truth: bool = True,
    progress: Callable[[str], None] | None = None,
) -> SampleManifest:
    """Write a sample into the folder `out` and return its manifest; the same arguments give the same bytes.

    `events` is the least number of event lines: fewer than the company's own take a part of its people,
    more add numbered replicas of the company with other ids and other chance, one in memory at a time. The
    legacy extract and the truth tables cover the first company only. A folder that already holds this very
    sample is left as it is, one that holds another sample is replaced when the new one is whole. Raises
    SampleFolderError where `out` holds anything else.
    """
    say = progress or (lambda _: None)
    generator = _fingerprint()
    found = _find(out)
    if found is not None and (found.seed, found.requested_events, found.has_truth, found.generator) == (
        seed,
        events,
        truth,
        generator,
    ):
        say(f"sample: found with {found.events:,} events")
        return found
    if events is not None and events < 1:
        raise SampleFolderError(f"a sample of {events} events was asked for, expected 1 or more")
    out.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{out.name}-", suffix=".part", dir=out.parent))
    try:
        with _without_collection():
            manifest = _Generation(part, seed, events, truth, say).write(generator)
        _put_in_place(part, out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    say(f"sample: wrote {manifest.events:,} events of {manifest.people:,} people")
    return manifest


class _Generation:
    def __init__(
        self, out: Path, seed: int, events: int | None, truth: bool, say: Callable[[str], None]
    ) -> None:
        self._out = out
        self._seed = seed
        self._events = events
        self._wants_truth = truth
        self._say = say
        self._iso = Iso()
        self._totals = _Totals()
        self._truth = Truth()
        self._subscriptions: list[Subscription] = []
        self._profiles: list[Profile] = []

    def write(self, generator: str) -> SampleManifest:
        (self._out / "events").mkdir()
        (self._out / "legacy").mkdir()
        company = load_company()
        self._say("sample: read the real orders")
        replica = 0
        while replica == 0 or (self._events is not None and self._totals.events < self._events):
            self._write_replica(company, replica)
            replica += 1
            self._say(f"sample: company {replica} is written, {self._totals.events:,} events")
        del company
        self._write_legacy()
        if self._wants_truth:
            self._write_truth()
        totals = self._totals
        manifest = SampleManifest(
            seed=self._seed,
            scale=replica,
            as_of=AS_OF,
            starts_at=STARTS_AT,
            requested_events=self._events,
            events=totals.events,
            events_by_name=dict(sorted(totals.events_by_name.items())),
            people=totals.people,
            files=tuple(totals.files),
            has_truth=self._wants_truth,
            synthetic=True,
            real=REAL,
            invented=INVENTED,
            identifier_key=hashlib.sha256(f"sample/{self._seed}".encode()).hexdigest(),
            generator=generator,
        )
        (self._out / MANIFEST_NAME).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
        return manifest

    def _write_replica(self, company: Company, replica: int) -> None:
        wire = Wire(self._iso)
        left = None if self._events is None else self._events - self._totals.events
        suffix = f"-r{replica}" if replica else ""
        user_ids: list[str] = []
        for household in Population(company, self._seed, replica).households():
            if left is not None:
                if len(wire.lines) + len(CODES) >= left:
                    break
                # One wholesaler would fill a small sample.
                if len(wire.lines) > left // 4 and _orders(household) * 8 > left // 10:
                    continue
            for person in household:
                Life(person, wire, company.bestsellers, suffix).live()
                Consents(person, wire).tell()
                if person.user_id is not None:
                    user_ids.append(person.user_id)
                if replica == 0:
                    self._subscriptions += person.subscriptions
            if replica == 0:
                self._profiles += profiles_of(household, self._seed)
            self._totals.people += len(household)
            if replica == 0 and self._wants_truth:
                self._truth.add(household)
        count = max(int(len(wire.lines) * BROKEN_SHARE), len(CODES))
        send_broken_lines(wire, stream(self._seed, replica, "broken"), user_ids, count)
        wire.lines.sort()
        path = self._out / "events" / f"company_{replica:05d}.jsonl"
        with path.open("wb", buffering=1 << 20) as file:
            file.writelines(line for _, line in wire.lines)
        self._list(path, len(wire.lines))
        self._totals.add(wire)

    def _write_legacy(self) -> None:
        path = self._out / "legacy" / ARCHIVE_NAME
        profiles, self._truth.duplicates = spelled_twice(self._profiles, self._seed)
        rows = write_extract(live_in_cloud(self._subscriptions, self._seed), profiles, path)
        self._list(path, sum(rows.values()))
        self._say(
            f"sample: the legacy cloud sent {rows['Sent.csv']:,} messages"
            f" to {rows['Subscribers.csv']:,} subscribers"
        )

    def _write_truth(self) -> None:
        folder = self._out / "truth"
        self._truth.write(folder)
        totals = self._totals
        write_event_counts(
            folder,
            received=totals.events,
            accepted=totals.accepted,
            duplicates=totals.repeated,
            quarantined=totals.quarantined,
        )
        for path in sorted(folder.iterdir()):
            self._list(path, None)

    def _list(self, path: Path, lines: int | None) -> None:
        name = path.relative_to(self._out).as_posix()
        self._totals.files.append(SampleFile(path=name, bytes=path.stat().st_size, lines=lines))


@contextmanager
def _without_collection() -> Iterator[None]:
    """The generator makes no reference cycles: looking for them would take a quarter of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _orders(household: Household) -> int:
    return sum(len(person.orders) + len(person.guest_orders) for person in household)


def _find(out: Path) -> SampleManifest | None:
    """The whole sample at a folder; None where there is none to lose."""
    if not out.exists():
        return None
    if not out.is_dir():
        raise SampleFolderError(f"'{out}' is a file, expected a folder for the sample; choose another")
    try:
        return read_manifest(out)
    except SampleUnreadableError as error:
        if not any(out.iterdir()) or (out / MANIFEST_NAME).exists():
            return None
        raise SampleFolderError(
            f"'{out}' holds files and is no sample, so it is not replaced; choose another folder or empty it"
        ) from error


def _put_in_place(part: Path, out: Path) -> None:
    """Rename the whole sample to its place; a former one steps aside first and goes last."""
    part.chmod(0o755)
    if not out.exists():
        part.rename(out)
        return
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", suffix=".old", dir=out.parent) as aside:
        out.rename(Path(aside) / "sample")
        part.rename(out)


def _fingerprint() -> str:
    """Names the program and the extract: a sample made by another version is made again."""
    digest = hashlib.sha256()
    for path in (*sorted(Path(__file__).parent.glob("*.py")), EXTRACT_PATH):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
