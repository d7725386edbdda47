"""Where a ledger can be kept: a SQLite file, or a PostgreSQL database."""

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs

from activation.errors import ConfigError

SCHEMES = ("postgresql://", "postgres://")
EXPECTED = "expected postgresql://USER@HOST/DATABASE, or nothing for the SQLite file"


@dataclass(frozen=True)
class PostgresDatabase:
    """A database by its address as libpq reads it; a password in it is never shown."""

    url: str = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse an address that would be read otherwise than it was meant, without repeating it."""
        if not self.url.startswith(SCHEMES):
            raise ConfigError(f"The ledger's address (CDP_LEDGER_URL) is none of PostgreSQL: {EXPECTED}.")
        before_options = self._rest.partition("?")[0]
        if "@" in before_options.partition("@")[2] or "@" in before_options.partition("/")[2]:
            raise ConfigError(
                "The ledger's address (CDP_LEDGER_URL) cannot be read: a character of the user's name or the "
                f"password has to be percent-encoded (@ as %40, / as %2F); {EXPECTED}."
            )

    def __str__(self) -> str:
        """Host and database."""
        # whatever could be a part of a password stands before an @ or after a ?
        place, _, options = self._rest.rpartition("@")[2].partition("?")
        host = parse_qs(options).get("host", [""])[0]
        return f"postgresql://{place}" + (f" at {host}" if host else "")

    @property
    def _rest(self) -> str:
        return self.url.partition("://")[2]


LedgerPlace = Path | PostgresDatabase


def ledger_place(url: str, file: Path) -> LedgerPlace:
    """The database that a setting names, or the file where it names none. Raises ConfigError."""
    return PostgresDatabase(url) if url else file
