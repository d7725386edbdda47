"""What can go wrong in activation, sorted by what must happen next."""


class ActivationError(Exception):
    """Base of every error that activation raises on purpose."""


class TransientActivationError(ActivationError):
    """The same call may succeed later; nothing was half done."""


class RejectedActivationError(ActivationError):
    """This one thing is refused and set aside; the rest goes on."""


class FatalActivationError(ActivationError):
    """A person must change something before it can go on."""


class ConfigError(FatalActivationError):
    """A sync or destination file, or a setting, says something that cannot be done."""


class LedgerBusyError(TransientActivationError):
    """Another process kept the ledger locked for longer than we wait."""


class LedgerCorruptError(FatalActivationError):
    """The ledger cannot be read, or what is there is not a ledger of this version, or not the one it was."""


class LedgerStorageError(TransientActivationError):
    """The ledger could not be reached or written (full disk, server away); nothing is sent for that step."""


class LedgerRefusedError(FatalActivationError):
    """The ledger's own rules forbid what was asked of it; the transaction was undone."""


class ProjectionError(FatalActivationError):
    """The warehouse's picture of the ledger cannot be brought up to date, so nothing may be planned on it."""


class PlanOutdatedError(TransientActivationError):
    """The ledger moved between the plan and its intents; planning again settles it."""


class PlanRefusedError(RejectedActivationError):
    """A stored plan is unknown, or may not be approved or applied as things are now."""


class TemporaryFileError(TransientActivationError):
    """A temporary file could not be written or read, because its disk is full or broken."""


class DestinationDownError(TransientActivationError):
    """The destination did not answer in time; its intents wait for the next run."""


class DestinationRefusedError(FatalActivationError):
    """The destination answers nobody until a person mends credentials or address."""
