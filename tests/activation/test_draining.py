"""A real process that is asked to stop in the middle of a delivery, judged by the sandbox's own record."""

import os
import signal
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from activation.sandbox.app import SandboxRules
from activation.sandbox.server import SandboxServer
from tests.activation.crash_child import now
from tests.activation.drain_child import run_command
from tests.activation.test_crashes import CONTEXT, NAMES, prepare, unsettled
from tests.activation.world import DESTINATIONS, write_definitions

TWO_AT_ONCE = "timeout_seconds: 30\n  concurrency: 2\n  max_batch_rows: 1"
EVERYBODY = [f"{name}@example.com" for name in NAMES]


def settings(sandbox: SandboxServer) -> str:
    text = DESTINATIONS.replace("builtin:sandbox", sandbox.url)
    return text.replace("  max_batch_rows: 4\n  timeout_seconds: 5", f"  {TWO_AT_ONCE}")


def wait_for(sandbox: SandboxServer, requests: int, child: BaseProcess) -> None:
    while len(sandbox.store.query("select 1 from requests")) < requests:
        assert child.is_alive(), "the run ended before it sent anything"
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_is_in_flight_ends_and_is_recorded_and_the_next_run_goes_on(
    tmp_path: Path, number: signal.Signals
) -> None:
    rules = SandboxRules(seconds_to_commit=0.5)
    with SandboxServer(tmp_path / "sandbox.sqlite", clock=now, rules=rules) as sandbox:
        write_definitions(tmp_path, destinations=settings(sandbox))
        prepare(tmp_path, tmp_path / "ledger.sqlite", NAMES)
        child = CONTEXT.Process(target=run_command, args=(str(tmp_path), 30.0, "sync", "run", "to_sandbox"))
        child.start()
        wait_for(sandbox, 3, child)
        assert child.pid is not None
        os.kill(child.pid, number)
        child.join(60)
        said = (tmp_path / "said.txt").read_text()
        requests = len(sandbox.store.query("select 1 from requests"))
        states = unsettled(tmp_path / "ledger.sqlite")
        again = CONTEXT.Process(target=run_command, args=(str(tmp_path), 30.0, "sync", "run", "to_sandbox"))
        again.start()
        again.join(60)
        done = sandbox.store.query("select key, count(*) from effects group by key order by key")

    assert child.exitcode == 1
    assert f"asked to stop ({number.name}); what is left waits for the next run" in said
    assert "deferred" in said
    assert states["in_flight"] == 0
    assert (states["delivered"], states["planned"]) == (requests, len(NAMES) - requests)
    assert requests < len(NAMES)
    assert (again.exitcode, done) == (0, [(key, 1) for key in EVERYBODY])


@pytest.mark.slow
def test_what_does_not_answer_within_the_budget_is_left_for_recovery(tmp_path: Path) -> None:
    rules = SandboxRules(seconds_to_commit=3)
    with SandboxServer(tmp_path / "sandbox.sqlite", clock=now, rules=rules) as sandbox:
        write_definitions(tmp_path, destinations=settings(sandbox))
        prepare(tmp_path, tmp_path / "ledger.sqlite", NAMES[:3])
        child = CONTEXT.Process(target=run_command, args=(str(tmp_path), 0.1, "sync", "run", "to_sandbox"))
        child.start()
        wait_for(sandbox, 2, child)
        assert child.pid is not None
        os.kill(child.pid, signal.SIGTERM)
        child.join(60)
        states = unsettled(tmp_path / "ledger.sqlite")
        again = CONTEXT.Process(target=run_command, args=(str(tmp_path), 30.0, "sync", "run", "to_sandbox"))
        again.start()
        again.join(60)
        done = sandbox.store.query("select key, count(*) from effects group by key order by key")

    assert child.exitcode == 1
    assert (states["in_flight"], states["planned"]) == (2, 1)
    assert (again.exitcode, done) == (0, [(key, 1) for key in EVERYBODY[:3]])
