"""What PostgreSQL says, as what a person or the next run has to do about it."""

from datetime import timedelta

import psycopg

from activation.errors import (
    ActivationError,
    ConfigError,
    LedgerBusyError,
    LedgerCorruptError,
    LedgerRefusedError,
    LedgerStorageError,
)

# https://www.postgresql.org/docs/current/errcodes-appendix.html
LOCKED = ("55P03", "40P01", "40001", "57014")
NO_RIGHT = ("42501", "28000", "28P01")
NO_PLACE = ("53100", "53200", "58030", "25006")  # disk full, memory, I/O, a server that may only read
GONE = ("57P01", "57P02", "57P03", "25P03")  # shut down, crashed, starting, paused for too long
# libpq hands the server's refusal of a connection on as a text only
MISTAKES = ("does not exist", "authentication failed", "no password supplied", "pg_hba.conf", "not permitted")
CROWDED = ("starting up", "shutting down", "too many", "remaining connection slots")


def explain(error: psycopg.Error, name: str, busy_timeout: timedelta, *, is_lost: bool) -> ActivationError:
    """The error to raise instead, by its code. The server's details are left out: they quote whole rows."""
    code = error.sqlstate or ""
    # without a code it is psycopg itself that speaks, of a type or a size
    said = f"{error.diag.message_primary}, {code}" if code else " ".join(str(error).split()) or "no answer"
    if code in LOCKED:
        return LedgerBusyError(
            f"The ledger at {name} stayed locked by another process for {busy_timeout.total_seconds():g} s "
            f"({said}); nothing was changed. Wait for it, then run again."
        )
    if is_lost or code.startswith("08") or code in GONE:
        return LedgerStorageError(
            f"The connection to the ledger at {name} was lost ({said}); the step was undone and nothing was "
            "sent for it. See that the server is up, then run again."
        )
    if code in NO_PLACE:
        return LedgerStorageError(
            f"The ledger at {name} could not be written ({said}); the step was undone and nothing was sent "
            "for it. Free space at the server, or point to one that may be written, then run again."
        )
    if code.startswith("XX"):
        return LedgerCorruptError(
            f"The ledger at {name} cannot be read ({said}); nothing was sent. Restore it from a backup."
        )
    if code in NO_RIGHT:
        return ConfigError(
            f"The ledger at {name} may not be used so by its user ({said}); nothing was sent. Let the user "
            "own the database or the schema."
        )
    return LedgerRefusedError(
        f"The ledger at {name} refused a statement ({type(error).__name__}: {said}); the step was undone and "
        "nothing was sent for it. Report it: no command asks for that."
    )


def explain_refused_connection(text: str, name: str) -> ActivationError:
    """The error to raise when no connection could be had; `text` is libpq's, without the password."""
    if any(mark in text for mark in MISTAKES):
        return ConfigError(
            f"The ledger at {name} lets nobody in ({text}); nothing was sent. Correct CDP_LEDGER_URL, or "
            "create the database and its user."
        )
    if any(mark in text for mark in CROWDED):
        return LedgerBusyError(
            f"The server of the ledger at {name} takes nobody now ({text}); nothing was changed. Wait for "
            "it, then run again."
        )
    return LedgerStorageError(
        f"The server of the ledger at {name} does not answer ({text}); nothing was sent. See that it is up "
        "and CDP_LEDGER_URL right, then run again."
    )
