"""The sandbox in a process of its own, told how to fail; and what arrived there, by its own record.

python -m tests.benchmarks.sandbox_process FILE [--rate N] [--reject REGEX] [--fault NAME] [--forgetful]
prints its address and serves until it is terminated.
"""

import argparse
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from activation.sandbox.app import SandboxRules
from activation.sandbox.faults import Fault
from activation.sandbox.server import SandboxServer
from tests.benchmarks.activation_world import now, query
from tests.benchmarks.measuring import ROOT

UNLIMITED = 1_000_000


@dataclass(frozen=True)
class Arrived:
    """What a sandbox has seen: requests, those answered from memory or refused, rows, people it holds now."""

    requests: int
    answered_from_memory: int
    refused: int
    rows_done: int
    rows_rejected: int
    people: int


@contextmanager
def sandbox(path: Path, options: Sequence[str] = ()) -> Iterator[str]:
    """Serve for the length of the block; gives the address."""
    command = [sys.executable, "-m", "tests.benchmarks.sandbox_process", str(path), *options]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        url = child.stdout.readline().strip() if child.stdout else ""
        if not url:
            raise RuntimeError(f"the sandbox did not start: exit code {child.wait()}")
        yield url
    finally:
        child.terminate()
        child.wait()


def arrived(path: Path) -> Arrived:
    """Count what a sandbox has on record."""
    ((requests, replays, refused),) = query(
        path, "select count(*), coalesce(sum(is_replay), 0), coalesce(sum(status >= 300), 0) from requests"
    )
    ((done, rejected, people),) = query(
        path,
        "select coalesce(sum(status = 'delivered'), 0), coalesce(sum(status = 'rejected'), 0),"
        " (select count(*) from members) from effects",
    )
    return Arrived(int(requests), int(replays), int(refused), int(done), int(rejected), int(people))


def bodies(path: Path) -> set[str | int]:
    """A hash of each request's bytes: two sandboxes that were sent the same have the same."""
    return {row[0] for row in query(path, "select body_hash from requests where method = 'POST'")}


def main() -> None:
    """Serve until terminated."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--rate", type=int, default=UNLIMITED)
    parser.add_argument("--reject")
    parser.add_argument("--fault")
    parser.add_argument("--forgetful", action="store_true", help="does not know repeated keys")
    arguments = parser.parse_args()
    rules = SandboxRules(
        requests_per_second=arguments.rate,
        reject_keys=arguments.reject,
        remembers_keys=not arguments.forgetful,
    )
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    with SandboxServer(arguments.file, clock=now, rules=rules) as server:
        if arguments.fault:
            server.faults.add(Fault(arguments.fault))
        print(server.url, flush=True)
        ended.wait()


if __name__ == "__main__":
    main()
