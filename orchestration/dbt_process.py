"""dbt as the child process of a run: `python -m orchestration.dbt_process build …`.

It differs from the command `dbt` in two things. It ends with its parent: a run that is killed must not leave
a dbt behind that goes on writing to the warehouse. And it does not make debug events that nobody reads: dbt
formats each one for every logger before it looks at the level, some 4,000 in a build, which is a third of the
time between its queries. A person who wants them runs `cdp dbt --debug build …`.
"""

import ctypes
import signal
import sys
from typing import Any

from dbt.cli.main import cli
from dbt_common.events.base_types import EventLevel
from dbt_common.events.event_manager import EventManager

PR_SET_PDEATHSIG = 1  # <sys/prctl.h>
UNREAD = frozenset({EventLevel.DEBUG, EventLevel.TEST})


def end_with_parent() -> None:
    """Ask the kernel to kill this process when its parent dies; other systems do not offer it."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def drop_unread_events() -> None:
    """Return before a debug event is built, unless dbt was asked to show them."""
    fire = EventManager.fire_event

    def fire_if_read(self: EventManager, e: Any, level: Any = None, *args: Any, **options: Any) -> None:
        if (level or e.level_tag()) not in UNREAD:
            fire(self, e, level, *args, **options)

    EventManager.fire_event = fire_if_read  # type: ignore[method-assign]  # the documented point of this module


def main() -> None:
    """Run dbt's command line."""
    end_with_parent()
    if "--debug" not in sys.argv:
        drop_unread_events()
    cli()


if __name__ == "__main__":
    main()
