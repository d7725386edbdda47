"""Sends requests to a sandbox as fast as shared rate windows admit them, in a process of its own."""

import time
from datetime import UTC, datetime
from pathlib import Path

import httpx

from activation.adapters.base import Rate
from activation.limits import SharedRateWindows


def send(path: str, url: str, limit: int, requests: int, *, seconds: float = 1.0) -> None:
    """Send so many empty batches."""
    windows = SharedRateWindows(Path(path), [Rate(limit, seconds)])
    body = {"key_field": "email", "operations": []}
    with httpx.Client(base_url=url) as client:
        for _ in range(requests):
            while wait := windows.admit(datetime.now(UTC)):
                time.sleep(wait.total_seconds())
            client.post("/lists/l/operations", json=body)


def hold_the_lock(path: str, limit: int) -> None:
    """Open the windows, take their lock, say so, and never let go."""
    windows = SharedRateWindows(Path(path), [Rate(limit, 60.0)])
    windows.admit(datetime.now(UTC))
    assert windows._bucket is not None
    windows._bucket.conn.execute("begin immediate")
    Path(path + ".held").touch()
    time.sleep(600)
