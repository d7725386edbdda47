"""Batches through validation in the order of the log: a few in this process, many in two others."""

import itertools
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ingestion.errors import FatalIngestionError
from ingestion.event_log import Batch, EventLog
from ingestion.registry import Registry
from ingestion.validation import Validated, batch_id_of
from ingestion.validation_worker import read_answer, request, validate_batch

WORKERS = 2
# With fewer batches of 16 MiB, starting the processes costs more than they save.
BATCHES_WORTH_WORKERS = 6
# How many batches are with the workers or wait, so that they have work while a group of them is loaded.
BATCHES_AHEAD = 16


@dataclass(frozen=True)
class ValidatedBatch:
    """One batch of the log and what became of its lines."""

    batch_id: str
    batch: Batch
    tables: Validated


def validated_batches(
    log: EventLog, registry: Registry, batches: Iterable[Batch], folder: Path
) -> Iterator[ValidatedBatch]:
    """Every batch, validated, in order; at most `BATCHES_AHEAD` are under way."""
    ahead = iter(batches)
    first = list(itertools.islice(ahead, BATCHES_WORTH_WORKERS))
    if len(first) < BATCHES_WORTH_WORKERS:
        for batch in first:
            batch_id = batch_id_of(batch.slices)
            yield ValidatedBatch(batch_id, batch, validate_batch(log, registry, batch, batch_id))
        return
    with ExitStack() as stack:
        workers = [stack.enter_context(_Worker(log, registry)) for _ in range(WORKERS)]
        yield from _shared(workers, itertools.chain(first, ahead), folder)


def _shared(workers: "list[_Worker]", batches: Iterable[Batch], folder: Path) -> Iterator[ValidatedBatch]:
    waiting: deque[tuple[_Worker, Batch, str, Path]] = deque()
    turns = itertools.cycle(workers)
    for number, batch in enumerate(batches):
        worker, batch_id, file = next(turns), batch_id_of(batch.slices), folder / f"batch.{number}"
        worker.ask(request(batch, batch_id, file))
        waiting.append((worker, batch, batch_id, file))
        if len(waiting) >= BATCHES_AHEAD:
            yield _answer(*waiting.popleft())
    while waiting:
        yield _answer(*waiting.popleft())


def _answer(worker: "_Worker", batch: Batch, batch_id: str, file: Path) -> ValidatedBatch:
    worker.wait()
    return ValidatedBatch(batch_id, batch, read_answer(file))


class _Worker:
    """A process of ingestion.validation_worker; several questions may wait for it."""

    def __init__(self, log: EventLog, registry: Registry) -> None:
        self._arguments = [str(log.root), str(registry.contracts_folder), str(registry.sources_file)]

    def __enter__(self) -> "_Worker":
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ingestion.validation_worker", *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def ask(self, question: bytes) -> None:
        try:
            pipe = self._pipe(self._process.stdin)
            pipe.write(question)
            pipe.flush()
        except BrokenPipeError:
            self._gone()

    def wait(self) -> None:
        if not self._pipe(self._process.stdout).readline():
            self._gone()

    def _gone(self) -> None:
        code = self._process.wait()
        raise FatalIngestionError(
            f"A validation process ended with exit code {code} before its answer; its words are on stderr. "
            "Nothing of the batch counts as loaded: look for a lack of memory, then run again."
        )

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        if pipe is None:
            raise FatalIngestionError("A validation process has no pipe; this is a defect: report it.")
        return pipe
