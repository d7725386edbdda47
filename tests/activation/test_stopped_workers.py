"""A worker that is suspended (SIGSTOP) past its lease wakes up after another has finished its work."""

import multiprocessing
import os
import signal
import time
from datetime import timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from activation import gate
from activation.adapters.base import OperationKind
from activation.config import load_definitions
from activation.intents import PlannedOperation, open_run
from activation.ledger import Ledger
from activation.sandbox.server import SandboxServer
from tests.activation.crash_child import now
from tests.activation.pause_child import deliver_and_stop
from tests.activation.test_zombies import IDEMPOTENT, READABLE
from tests.activation.world import DESTINATIONS, write_definitions

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.activation.pause_child"])
LEASE = timedelta(seconds=1)
LONGER = timedelta(minutes=5)
NAMES = [f"p{number}" for number in range(6)]


def prepare(folder: Path, url: str, settings: str) -> None:
    timeout = "  timeout_seconds: 5\n"
    text = DESTINATIONS.replace("builtin:sandbox", url).replace(
        timeout, timeout + settings + "  concurrency: 1\n", 1
    )
    write_definitions(folder, destinations=text)
    with Ledger(folder / "ledger.sqlite") as ledger:
        gate.ensure_route(ledger, "to_sandbox", "live", now=now())
        gate.refresh_denials(ledger, [], watermark=now(), now=now())
        operations = [
            PlannedOperation(OperationKind.ADD, f"{name}@example.com", name, f"key-{name}", "{}", "hash")
            for name in NAMES
        ]
        open_run(
            ledger,
            load_definitions(folder).sync("to_sandbox"),
            operations,
            count=len(operations),
            plan_hash="plan",
            planned_at_seq=ledger.sequence(),
            made_of={},
            now=now(),
        )


def start(folder: Path, point: str, lease: timedelta) -> BaseProcess:
    child = CONTEXT.Process(target=deliver_and_stop, args=(str(folder), point, lease))
    child.start()
    return child


def wait_until_stopped(child: BaseProcess) -> None:
    until = time.monotonic() + 60
    while Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        assert time.monotonic() < until, "the worker never stopped"
        time.sleep(0.02)


def states(folder: Path) -> set[str]:
    with Ledger(folder / "ledger.sqlite") as ledger, ledger.read() as connection:
        return {state for (state,) in connection.execute("select distinct state from operations")}


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to see that a process stopped")
@pytest.mark.parametrize("settings", [IDEMPOTENT, READABLE], ids=["idempotent", "readable"])
@pytest.mark.parametrize(
    ("point", "evidence"),
    [("before_write", (0, 4, "lease_lost")), ("after_response", (4, 0, None))],
)
def test_a_suspended_worker_does_nothing_twice_and_its_late_answer_is_kept_as_evidence(
    tmp_path: Path, settings: str, point: str, evidence: tuple[int, int, str | None]
) -> None:
    with SandboxServer(tmp_path / "sandbox.sqlite", clock=now) as sandbox:
        prepare(tmp_path, sandbox.url, settings)
        zombie = start(tmp_path, point, LEASE)
        wait_until_stopped(zombie)

        while states(tmp_path) != {"delivered"}:  # until the lease has ended, heirs leave the batch alone
            heir = start(tmp_path, "never", LONGER)
            heir.join(60)
            assert heir.exitcode == 0
        assert zombie.pid is not None
        os.kill(zombie.pid, signal.SIGCONT)
        zombie.join(60)

        done = sandbox.store.query(
            "select key, count(*) from effects where status = 'delivered' group by key"
        )

    assert zombie.exitcode == 0
    assert done == [(f"{name}@example.com", 1) for name in NAMES]
    with Ledger(tmp_path / "ledger.sqlite") as ledger, ledger.read() as connection:
        late = connection.execute("select delivered, unknown, reason from attempts where is_late").fetchall()
    assert late == [evidence]
    assert states(tmp_path) == {"delivered"}
