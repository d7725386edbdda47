"""What can go wrong in ingestion, named by what must happen next: retry, skip, or stop."""

import errno

# What the system says when a disk, a quota or a file may grow no more.
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class IngestionError(Exception):
    """Base of every error that ingestion raises on purpose."""


class TransientIngestionError(IngestionError):
    """The same call may succeed later; nothing was half done."""


class RejectedInputError(IngestionError):
    """This input can never be accepted as it is; the rest can go on without it."""


class FatalIngestionError(IngestionError):
    """Going on would lose or invent facts; a person has to look first."""


class EventLogFullError(TransientIngestionError):
    """The event log could not be extended; everything the call had written was taken back."""


class EventLogDamagedError(FatalIngestionError):
    """A segment is shorter than what was already read from it."""


class ContractError(FatalIngestionError):
    """A contract or source file does not say what it has to say."""
