"""A folder that is no disk."""

from pathlib import Path


def memory() -> str | None:
    """A folder in memory where there is one: no power cut is tested, so nothing need be on a disk."""
    folder = "/dev/shm"  # noqa: S108 - fresh folders are made in it
    return folder if Path(folder).is_dir() else None
