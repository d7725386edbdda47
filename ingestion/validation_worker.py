"""A process that validates batches: asked by JSON lines on stdin, answering by JSON lines on stdout.

`python -m ingestion.validation_worker LOG CONTRACTS SOURCES`. The tables go through Arrow files, not through
the pipe. It ends when its stdin does, so it never outlives who started it.
"""

import gc
import sys
from pathlib import Path

import orjson
import pyarrow as pa

from ingestion.event_log import Batch, EventLog, Slice
from ingestion.registry import Registry, load_registry
from ingestion.validation import Validated, validate


def validate_batch(log: EventLog, registry: Registry, batch: Batch, batch_id: str) -> Validated:
    """Read a batch from the log and check every line of it.

    Each table comes as one chunk: DuckDB takes ten times as long over the hundreds that blocks make.
    """
    found = validate(registry, ((part, log.read(part)) for part in batch.slices), batch_id)
    return Validated(accepted=found.accepted.combine_chunks(), quarantined=found.quarantined.combine_chunks())


def request(batch: Batch, batch_id: str, file: Path) -> bytes:
    """One question as a JSON line: validate this batch into `<file>.accepted` and `<file>.quarantined`."""
    slices = [vars(part) for part in batch.slices]
    return orjson.dumps({"batch_id": batch_id, "file": str(file), "slices": slices}) + b"\n"


def read_answer(file: Path) -> Validated:
    """The tables that a worker wrote, mapped into memory; the files are removed when they are let go."""
    return Validated(accepted=_read(f"{file}.accepted"), quarantined=_read(f"{file}.quarantined"))


def _read(path: str) -> pa.Table:
    with pa.memory_map(path) as source:
        table = pa.ipc.open_file(source).read_all()
    Path(path).unlink()
    return table


def _write(path: str, table: pa.Table) -> None:
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def main() -> None:
    """Answer until stdin ends."""
    # What is read from JSON has no cycles, so reference counts free it all.
    gc.disable()
    log = EventLog(Path(sys.argv[1]))
    registry = load_registry(Path(sys.argv[2]), Path(sys.argv[3]))
    for line in sys.stdin.buffer:
        asked = orjson.loads(line)
        batch = Batch(tuple(Slice(**part) for part in asked["slices"]))
        validated = validate_batch(log, registry, batch, asked["batch_id"])
        _write(f"{asked['file']}.accepted", validated.accepted)
        _write(f"{asked['file']}.quarantined", validated.quarantined)
        sys.stdout.buffer.write(b"{}\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
