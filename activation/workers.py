"""Names a process so that no other ever has its name, and tells whether one of that name still runs."""

import functools
import os
import socket
from pathlib import Path


@functools.cache
def this_process() -> str:
    """host:pid:start, which no other process ever has; a fork is asked anew."""
    return f"{socket.gethostname()}:{os.getpid()}:{_start_of(os.getpid())}"


os.register_at_fork(after_in_child=this_process.cache_clear)


def process_is_alive(name: str) -> bool:
    """Whether that worker may still be running; one on another host is believed until its lease ends."""
    host, pid, start = name.rsplit(":", 2) if name.count(":") >= 2 else (name, "", "")
    if host != socket.gethostname() or not pid.isdigit():
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return _start_of(int(pid)) == start


def _start_of(pid: int) -> str:
    """When the process started, in the kernel's ticks; empty where the system does not say."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[19]
