"""The manifest of a generated sample: what was made, from which arguments, what in it is real."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from ingestion.errors import FatalIngestionError

MANIFEST_NAME: Final = "manifest.json"

# The sample lives in its own time: thirteen months that end with the extract.
STARTS_AT: Final = datetime(2009, 12, 1, tzinfo=UTC)
AS_OF: Final = datetime(2010, 12, 10, tzinfo=UTC)

REAL: Final = (
    "customer numbers, and that some orders have none",
    "countries",
    "order and cancellation numbers, times (taken as UTC), items, quantities, prices, totals",
)
INVENTED: Final = (
    "names, e-mail addresses (domains reserved for documentation), phone numbers (reserved or unassigned)",
    "devices, sessions, page views and carts",
    "accounts numbered from 90001, and who a guest was",
    "sign-ups, identify calls and consent changes",
    "the legacy cloud: subscribers, sends, opens, clicks, bounces, unsubscribes",
    "broken and repeated deliveries",
)


class SampleUnreadableError(FatalIngestionError):
    """A folder holds no whole sample."""


class SampleFile(BaseModel):
    """One file of the sample, relative to its folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    bytes: int
    lines: int | None = None


class SampleManifest(BaseModel):
    """What a sample folder holds. `events` counts lines written, broken and repeated ones included."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int
    scale: int
    as_of: datetime
    starts_at: datetime
    requested_events: int | None
    events: int
    events_by_name: dict[str, int]
    people: int
    files: tuple[SampleFile, ...]
    has_truth: bool
    synthetic: bool
    real: tuple[str, ...]
    invented: tuple[str, ...]
    identifier_key: str
    generator: str

    def paths(self, folder: str, out: Path) -> tuple[Path, ...]:
        """The files below one folder of the sample (`events`, `legacy`, `truth`), in order of name."""
        return tuple(out / file.path for file in self.files if file.path.startswith(f"{folder}/"))


def read_manifest(path: Path) -> SampleManifest:
    """Read the manifest of a sample folder (or the manifest file itself) and check that its files are whole.

    Raises SampleUnreadableError where it is missing, cannot be read, or names a file of another size.
    """
    file = path / MANIFEST_NAME if path.is_dir() or path.name != MANIFEST_NAME else path
    try:
        manifest = SampleManifest.model_validate_json(file.read_bytes())
    except FileNotFoundError as error:
        raise SampleUnreadableError(
            f"'{file}' does not exist, expected the manifest of a sample; generate one with `cdp sample`"
        ) from error
    except (OSError, ValidationError) as error:
        raise SampleUnreadableError(
            f"'{file}' cannot be read as the manifest of a sample: {error}; "
            "delete the folder and run `cdp sample`"
        ) from error
    for entry in manifest.files:
        part = file.parent / entry.path
        size = part.stat().st_size if part.exists() else None
        if size != entry.bytes:
            raise SampleUnreadableError(
                f"'{part}' has {size} bytes, the manifest says {entry.bytes}; "
                "delete the folder and run `cdp sample`"
            )
    return manifest
