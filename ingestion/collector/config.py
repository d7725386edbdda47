"""What a collector is told when it starts: where it writes and what it bears."""

from dataclasses import dataclass
from pathlib import Path

MIB = 1024 * 1024


@dataclass(frozen=True)
class CollectorConfig:
    """Places and limits. The queue is that of one worker; `workers` is how many share the limits of keys."""

    event_log: Path
    keys_file: Path
    max_body_bytes: int = 4 * MIB
    max_messages: int = 20_000
    read_seconds: float = 15.0
    queue_bytes: int = 64 * MIB
    max_connections: int = 4_000
    shutdown_seconds: int = 20
    workers: int = 1
