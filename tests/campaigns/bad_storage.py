"""Bad circumstances of the log: full disks, segments that were cut, several writers at once."""

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx

from ingestion.records import Record
from tests.campaigns.bad_inputs import EMPTY_REASONS
from tests.campaigns.ways_in import ID, TRACK, BadInput, Door, Outcome, batch, event
from tests.ingestion.messages import NOW

FILE_LIMIT = 300_000
# Loads the house in a process whose files may not grow beyond a size: the kernel refuses as for a full disk.
LOAD_ON_A_FULL_DISK = """
import resource, sys
from pathlib import Path
from tests.ingestion.messages import House
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
House(Path(sys.argv[1])).load()
"""
IMPORT_ON_A_FULL_DISK = """
import resource, sys
from datetime import UTC, datetime
from pathlib import Path
from ingestion.errors import EventLogFullError
from ingestion.event_log import EventLog
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
try:
    EventLog(Path(sys.argv[1])).import_archive(Path(sys.argv[2]), "web", now=datetime.now(UTC))
except EventLogFullError:
    print("EventLogFullError")
"""


def full_disks() -> Iterator[BadInput]:
    """A limit of file size stands for the full disk: the kernel refuses the write in the middle of a line."""
    many = tuple(f"{ID}-{number}" for number in range(400))
    few = many[:50]

    def as_batch(ids: tuple[str, ...]) -> bytes:
        return batch(*(event(event_id=each, properties={"sku": "x" * 1000}) for each in ids))

    def full(door: Door) -> str:
        answer = door.post("/v1/batch", door.named(as_batch(many)))
        return f"{answer.status_code}, again in {answer.headers.get('Retry-After')} s"

    def smaller(door: Door) -> None:
        assert door.post("/v1/batch", door.named(as_batch(few))).status_code == 200

    def archive(door: Door) -> Path:
        lines = (
            event(event_id=each, properties={"sku": "x" * 1000}, receivedAt="2010-12-01T09:00:00.000Z")
            for each in many
        )
        return door.archive(door.named(b"\n".join(lines)))

    def full_import(door: Door) -> str:
        return _in_process(
            IMPORT_ON_A_FULL_DISK, door.collector.house.log.root, archive(door), FILE_LIMIT
        ).stdout.strip()

    def whole_import(door: Door) -> None:
        found = door.collector.house.log.import_archive(archive(door), "web", now=datetime.now(UTC))
        assert found.count == len(many)

    def begun(at: Callable[[], datetime]) -> Callable[[Door], None]:
        """The segment of a day has an event already, so that a failed append has something to spare."""
        return lambda door: door.collector.house.receive(door.named(event()), at=at())

    def loaded_before(door: Door) -> None:
        door.collector.house.load()

    def full_load(room: int) -> Callable[[Door], str]:
        """Send what does not compress, and load it where no file may have more than `room` bytes."""

        def send(door: Door) -> str:
            lines = (event(event_id=each, properties={"sku": os.urandom(300).hex()}) for each in many)
            answer = door.post("/v1/batch", door.named(batch(*lines)))
            done = _in_process(LOAD_ON_A_FULL_DISK, door.collector.house.folder, room)
            is_full = done.returncode != 0 and os.strerror(errno.EFBIG) in done.stderr
            return f"{answer.status_code}, {'load stopped' if is_full else done.stderr[-200:] or 'loaded'}"

        return send

    yield BadInput(
        "full disk, in the middle of a batch",
        "POST /v1/batch",
        full,
        Outcome("503, again in 5 s", accepted=(ID,)),
        collector={"file_limit": FILE_LIMIT},
        prepare=begun(lambda: datetime.now(tz=UTC)),
        mend=smaller,
        mended=few,
    )
    yield BadInput(
        "full disk, in the middle of an archive",
        "archive",
        full_import,
        Outcome("EventLogFullError", accepted=(ID,)),
        collector={},
        prepare=begun(lambda: NOW),
        mend=whole_import,
        mended=many,
    )
    stopped = Outcome("200, load stopped", 400, many)
    for room in (0, 20_000):
        load = full_load(room)
        name = f"full disk after {room:,} bytes, in"
        yield BadInput(f"{name} a load", "load", load, stopped, collector={}, prepare=loaded_before)
        yield BadInput(f"{name} the first load", "load", load, stopped, collector={})


def damages() -> Iterator[BadInput]:
    """A segment that was cut. What comes after must not be taken for what was loaded."""
    before = tuple(f"{ID}-{number}" for number in range(3))

    def three(door: Door) -> None:
        for each in before:
            assert door.post(TRACK, door.named(event(event_id=each))).status_code == 200

    def cut(door: Door) -> None:
        path = _segment(door)
        (path.parent.parent / "copy").write_bytes(path.read_bytes())
        os.truncate(path, path.stat().st_size - 20)

    def tear(door: Door) -> None:
        """As a writer leaves it that died within a write."""
        three(door)
        with _segment(door).open("ab") as file:
            file.write(b"2010-12-01T09:00:00.000Z\tweb\t" + door.named(event(event_id="torn"))[:60])

    def cut_unloaded(door: Door) -> None:
        three(door)
        cut(door)

    def cut_loaded(door: Door) -> None:
        three(door)
        door.collector.house.load()
        cut(door)

    def restore(door: Door) -> None:
        """Put the copy back, and what came since behind it: in this segment or, as it is, in another one."""
        path = _segment(door)
        copy = path.parent.parent / "copy"
        whole, found = copy.read_bytes(), path.read_bytes()
        kept = whole.rstrip(b"\n").rpartition(b"\n")[0] + b"\n"
        assert found.startswith(kept)
        path.write_bytes(whole + found[len(kept) :])
        copy.unlink()

    def send(event_id: str) -> Callable[[Door], str]:
        return lambda door: str(door.post(TRACK, door.named(event(event_id=event_id))).status_code)

    way = f"POST {TRACK}"
    torn = Outcome("200", 1, (*before, ID))
    yield BadInput("a torn tail, then an event", way, send(ID), torn, collector={}, prepare=tear)
    # The acknowledged event whose bytes were destroyed is gone; every other one is there.
    lost = Outcome("200", 1, (*before[:2], ID))
    yield BadInput(
        "cut in a new line, then an event", way, send(ID), lost, collector={}, prepare=cut_unloaded
    )
    for name, next_id in (("a longer", f"{ID}-much-longer"), ("a like", f"{ID}-3"), ("a shorter", "s")):
        stopped = Outcome("200", 1, load_error="EventLogDamagedError")
        yield BadInput(
            f"cut in a loaded line, then {name} event",
            way,
            send(next_id),
            stopped,
            collector={},
            prepare=cut_loaded,
            mend=restore,
            mended=(next_id,),
        )


def writers() -> Iterator[BadInput]:
    """Two workers of the collector and this process write to one log at the same time, good and bad."""
    requests, threads, appends = 30, 4, 60

    def send(door: Door) -> str:
        answers: list[int] = []

        def post(sender: int) -> None:
            with httpx.Client(
                base_url=door.collector.url, auth=(door.collector.key, ""), timeout=20
            ) as client:
                for number in range(requests):
                    good = event(event_id=f"{ID}-{sender}-{number}")
                    body = door.named(batch(good, b"{}", b"[]"))
                    answers.append(client.post("/v1/batch", content=body).status_code)

        posting = [threading.Thread(target=post, args=(sender,)) for sender in range(threads)]
        for thread in posting:
            thread.start()
        for number in range(appends):
            lines = (door.named(event(event_id=f"{ID}-here-{number}")), b"{half of")
            door.collector.house.log.append(Record(datetime.now(tz=UTC), "web", line) for line in lines)
        for thread in posting:
            thread.join()
        return " ".join(sorted({str(each) for each in answers}))

    posted = [f"{ID}-{sender}-{number}" for sender in range(threads) for number in range(requests)]
    here = [f"{ID}-here-{number}" for number in range(appends)]
    bad = {EMPTY_REASONS: len(posted), "NOT_AN_OBJECT": len(posted), "MALFORMED_JSON": appends}
    all_of_it = Outcome("200", 3 * len(posted) + 2 * appends, (*posted, *here), codes=bad)
    yield BadInput(
        "three processes write to one log", "POST and append", send, all_of_it, collector={"workers": 2}
    )


def bad_storage() -> list[BadInput]:
    """All of them."""
    return [*full_disks(), *damages(), *writers()]


def _segment(door: Door) -> Path:
    """The first segment of the log, the one that everything of this house was sent to before it was cut."""
    return min(door.collector.house.log.root.glob("*/*.log"))


def _in_process(script: str, *arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True, check=False
    )
