"""The warehouse lock: one writer at a time, and no writer's death leaves it held."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestration.errors import WarehouseBusyError
from orchestration.lock import LockHolder, lock_holder, warehouse_lock

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

HOLD_FOREVER = """
import sys, time
from datetime import UTC, datetime
from pathlib import Path
from orchestration.lock import warehouse_lock
with warehouse_lock(Path(sys.argv[1]), what="cdp run", wait_seconds=0, now=lambda: datetime.now(tz=UTC)):
    print("held", flush=True)
    time.sleep(600)
"""


def start_holder(path: Path) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD_FOREVER, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_holder_is_named_while_it_holds_and_nobody_after(tmp_path: Path) -> None:
    path = tmp_path / "warehouse.lock"

    with warehouse_lock(path, what="cdp run", wait_seconds=0, now=lambda: NOW):
        during = lock_holder(path)

    assert during == LockHolder(os.getpid(), "cdp run", "2026-01-02T03:04:05+00:00")
    assert lock_holder(path) is None


def test_a_second_writer_gives_up_after_its_wait_and_says_who_is_in_the_way(tmp_path: Path) -> None:
    path = tmp_path / "warehouse.lock"
    process = start_holder(path)
    try:
        with (
            pytest.raises(WarehouseBusyError, match=rf"process {process.pid} \(cdp run, .*within 0.2 s"),
            warehouse_lock(path, what="second", wait_seconds=0.2, now=lambda: NOW),
        ):
            pytest.fail("two writers held the lock at once")
    finally:
        process.kill()
        process.wait()


def test_kill_9_of_the_holder_lets_the_waiting_writer_in(tmp_path: Path) -> None:
    path = tmp_path / "warehouse.lock"
    process = start_holder(path)
    waits_for: list[LockHolder | None] = []

    def kill_holder(holder: LockHolder | None) -> None:
        waits_for.append(holder)
        os.kill(process.pid, signal.SIGKILL)

    with warehouse_lock(path, what="second", wait_seconds=20, now=lambda: NOW, on_wait=kill_holder):
        process.wait()
        holder = lock_holder(path)

    assert [waited.pid for waited in waits_for if waited] == [process.pid]
    assert holder == LockHolder(os.getpid(), "second", NOW.isoformat(timespec="seconds"))


def test_a_child_process_does_not_inherit_the_lock(tmp_path: Path) -> None:
    """A killed run's dbt may live on for a moment; it must not keep the next run out."""
    path = tmp_path / "warehouse.lock"
    with warehouse_lock(path, what="first", wait_seconds=0, now=lambda: NOW):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        with warehouse_lock(path, what="second", wait_seconds=0, now=lambda: NOW) as holder:
            assert holder.what == "second"
    finally:
        child.kill()
        child.wait()


def test_an_error_inside_the_block_frees_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "warehouse.lock"

    with (
        pytest.raises(ZeroDivisionError),
        warehouse_lock(path, what="fails", wait_seconds=0, now=lambda: NOW),
    ):
        raise ZeroDivisionError

    assert lock_holder(path) is None


def count_up(path: Path, counter: Path, times: int) -> None:
    for _ in range(times):
        with warehouse_lock(path, what="count", wait_seconds=60, now=lambda: NOW):
            value = json.loads(counter.read_text())
            counter.write_text(json.dumps(value + 1))


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*")
def test_no_two_writers_are_ever_inside_at_once(tmp_path: Path) -> None:
    path, counter = tmp_path / "warehouse.lock", tmp_path / "counter"
    counter.write_text("0")
    processes = [
        multiprocessing.get_context("spawn").Process(target=count_up, args=(path, counter, 5))
        for _ in range(2)
    ]
    threads = [threading.Thread(target=count_up, args=(path, counter, 5)) for _ in range(2)]

    for worker in (*processes, *threads):
        worker.start()
    for worker in (*processes, *threads):
        worker.join(60)

    assert counter.read_text() == "20"


def test_a_torn_holder_text_is_no_reason_to_fail(tmp_path: Path) -> None:
    path = tmp_path / "warehouse.lock"
    with warehouse_lock(path, what="first", wait_seconds=0, now=lambda: NOW):
        path.write_text('{"pid": 12')
        assert lock_holder(path) == LockHolder(0, "unknown", "unknown")
