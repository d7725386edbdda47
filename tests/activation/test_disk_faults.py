"""The ledger's disk fails: nothing leaves without a row in flight on disk, and the next run heals.

What stands in for what: a limit on the size of files (RLIMIT_FSIZE) in a process of its own for a disk that
takes no more (SQLite answers with an I/O error when it commits); `pragma query_only` for a file that became
read-only (root may write to any); bytes written over or cut off the file for a disk that forgets. A database
that is full is in test_ledger.py.
"""

import multiprocessing
import resource
import signal
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from activation.errors import LedgerCorruptError, LedgerStorageError, ProjectionError
from activation.ledger import Ledger
from activation.sandbox.server import SandboxServer
from tests.activation.crash_child import now
from tests.activation.pause_child import deliver_with
from tests.activation.test_stopped_workers import IDEMPOTENT, NAMES, READABLE, prepare, states
from tests.activation.test_zombies import at_first
from tests.activation.world import World, open_world, people

CONTEXT = multiprocessing.get_context("forkserver")
NO_ROOM = 3


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Disks of our own: what a database server does when its disk fails is its own promise."""
    return tmp_path / "ledger.sqlite"


def deliver_without_room(folder: str, point: str, occurrence: int) -> None:
    """Deliver; from the `occurrence`-th passing of `point` on no file of this process may grow."""

    def fill_up() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        size = (Path(folder) / "ledger.sqlite-wal").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    try:
        deliver_with(folder, at=at_first(point, fill_up, occurrence=occurrence), lease=timedelta(minutes=5))
    except LedgerStorageError as error:
        is_clear = "could not be written (disk I/O error)" in str(error)
        raise SystemExit(NO_ROOM if is_clear else 1) from error


def run_child(folder: Path, point: str = "never", occurrence: int = 1) -> int | None:
    child = CONTEXT.Process(target=deliver_without_room, args=(str(folder), point, occurrence))
    child.start()
    child.join(60)
    return child.exitcode


@pytest.mark.parametrize("settings", [IDEMPOTENT, READABLE], ids=["idempotent", "readable"])
@pytest.mark.parametrize(
    ("point", "occurrence", "requests"),
    [("before_claim", 1, 0), ("before_claim", 2, 1), ("before_outcome", 1, 1), ("before_outcome", 2, 2)],
)
def test_a_disk_that_takes_no_more_sends_nothing_that_is_not_in_flight(
    tmp_path: Path, settings: str, point: str, occurrence: int, requests: int
) -> None:
    with SandboxServer(tmp_path / "sandbox.sqlite", clock=now) as sandbox:
        prepare(tmp_path, sandbox.url, settings)

        failed = run_child(tmp_path, point, occurrence)
        [(sent,)] = sandbox.store.query("select count(*) from requests where path like '%operations'")
        with Ledger(tmp_path / "ledger.sqlite") as ledger, ledger.read() as connection:
            [(in_flight,)] = connection.execute("select count(*) from batches").fetchall()
        healed = run_child(tmp_path)
        done = sandbox.store.query(
            "select key, count(*) from effects where status = 'delivered' group by key"
        )

    assert (failed, healed) == (NO_ROOM, 0)
    assert sent == in_flight == requests
    assert done == [(f"{name}@example.com", 1) for name in NAMES]
    assert states(tmp_path) == {"delivered"}


@pytest.mark.parametrize(("point", "requests"), [("after_intents", 0), ("before_outcome", 1)])
def test_a_ledger_that_became_read_only_is_one_clear_error(world: World, point: str, requests: int) -> None:
    world.members(*people("ann"))

    def make_read_only(is_read_only: int) -> None:
        with world.ledger.read() as connection:
            connection.execute(f"pragma query_only = {is_read_only}")

    broken = replace(world.engine, at=at_first(point, lambda: make_read_only(1)), worker_name="broken")
    with pytest.raises(LedgerStorageError, match=r"could not be written.*mend the folder's permissions"):
        world.run(engine=broken)

    assert world.sandbox.store.query("select count(*) from requests") == [(requests,)]
    make_read_only(0)
    report = world.run(engine=replace(world.engine, is_alive=lambda _: False))
    assert report.delivered + report.recovered == 1
    assert world.effects() == [("upsert", "ann@example.com")]


def overwrite(file: Path, *, from_end: int, length: int) -> None:
    with file.open("r+b") as opened:
        opened.seek(-from_end, 2)
        opened.write(b"\xff" * length)


def cut_last_page_off(folder: Path) -> None:
    with (folder / "ledger.sqlite").open("r+b") as opened:
        opened.truncate((folder / "ledger.sqlite").stat().st_size - 4096)


def spoil_first_page(folder: Path) -> None:
    with (folder / "ledger.sqlite").open("r+b") as opened:
        opened.seek(100)
        opened.write(b"\xff" * 3000)


def run_once_more(folder: Path) -> None:
    with open_world(folder) as world:
        world.members(*people("new"))
        world.run(approve=True)


@pytest.mark.parametrize("spoil", [cut_last_page_off, spoil_first_page])
def test_a_ledger_with_a_spoiled_page_is_refused_and_nothing_is_sent(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    with open_world(tmp_path) as world:
        world.members(*people(*NAMES))
        world.run()
    file = tmp_path / "ledger.sqlite"
    before = file.read_bytes()
    spoil(tmp_path)

    with pytest.raises(LedgerCorruptError, match=r"nothing was sent\. Restore it"):
        run_once_more(tmp_path)

    file.write_bytes(before)
    with open_world(tmp_path) as world:
        assert world.at_sandbox() == {f"{name}@example.com" for name in NAMES}
        world.members(*people(*NAMES, "new"))
        assert world.run().delivered == 1


def copy_open_ledger(world: World, target: Path) -> None:
    """The files as they are while the ledger is open: its log has not been written into it yet."""
    target.mkdir()
    for name in ("ledger.sqlite", "ledger.sqlite-wal"):
        (target / name).write_bytes((world.folder / name).read_bytes())


def test_a_log_that_ends_in_the_midst_of_a_frame_loses_nothing_that_was_committed(
    world: World, tmp_path: Path
) -> None:
    world.members(*people("ann"))
    world.run()
    copy_open_ledger(world, tmp_path / "copy")
    with (tmp_path / "copy" / "ledger.sqlite-wal").open("ab") as log:
        log.write(b"\xff" * 1000)

    with Ledger(tmp_path / "copy" / "ledger.sqlite") as ledger:
        assert ledger.sequence() == world.ledger.sequence()


def test_a_log_whose_last_transaction_is_spoiled_is_noticed_before_anything_is_planned(
    world: World, tmp_path: Path
) -> None:
    """SQLite drops it without a word; the warehouse has seen more of this ledger than the file holds."""
    world.members(*people("ann"))
    world.run()
    copy_open_ledger(world, tmp_path / "copy")
    overwrite(tmp_path / "copy" / "ledger.sqlite-wal", from_end=2000, length=1000)
    world.members(*people("bob"))

    with Ledger(tmp_path / "copy" / "ledger.sqlite") as ledger:
        assert ledger.sequence() < world.ledger.sequence()
        world.ledger = ledger
        with pytest.raises(ProjectionError, match="while it ends at"):
            world.run()

    assert world.effects() == [("upsert", "ann@example.com")]
