"""What this deployment reads from, and in which time it lives."""

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ingestion.event_log import EventLog
from ingestion.sample.manifest import AS_OF as SAMPLE_AS_OF
from ingestion.sample.manifest import SampleManifest, read_manifest
from orchestration.errors import DeploymentError
from orchestration.settings import Settings

KEY_BYTES = 32


@dataclass(frozen=True)
class Deployment:
    """The facts that every command starts from.

    `is_sample` is true when no source is configured: the facts are then the sample company's and the
    time is the sample's own, so that a run gives the same result on any day.
    """

    settings: Settings
    is_sample: bool
    now: Callable[[], datetime]

    @property
    def sample_manifest_path(self) -> Path:
        """Written last by the generator: a sample without it is not whole."""
        return self.settings.sample_dir / "manifest.json"

    def sample_manifest(self) -> SampleManifest | None:
        """The sample's manifest, or None before the first run; raises when its files are not whole."""
        if not self.sample_manifest_path.exists():
            return None
        return read_manifest(self.settings.sample_dir)

    @property
    def legacy_sfmc_dir(self) -> Path | None:
        """The folder of tracking extracts: the configured one, or the sample's."""
        return self.settings.sample_dir / "legacy" if self.is_sample else self.settings.legacy_sfmc_dir

    def as_of(self, chosen: datetime | None = None) -> datetime:
        """The moment to decide for: what was asked, else the configured one, else the sample's, else now."""
        if chosen is not None:
            return chosen
        if self.settings.as_of is not None:
            return self.settings.as_of
        return self.business_now()

    def business_now(self) -> datetime:
        """The time at which facts happen here: the sample's own end in a sample deployment."""
        if self.is_sample:
            manifest = self.sample_manifest()
            return manifest.as_of if manifest else SAMPLE_AS_OF
        return self.now()

    def identifier_key(self) -> bytes:
        """The key that identifiers are hashed with; made on first use, changed by a rotation only.

        A sample uses the key of its manifest, so that the same sample gives the same hashes anywhere.
        """
        if self.settings.identifier_key is not None:
            return parse_identifier_key(self.settings.identifier_key.get_secret_value(), "CDP_IDENTIFIER_KEY")
        path = self.settings.identifier_key_path
        if path.exists():
            return parse_identifier_key(path.read_text(encoding="ascii"), str(path))
        manifest = self.sample_manifest() if self.is_sample else None
        key = manifest.identifier_key if manifest else secrets.token_hex(KEY_BYTES)
        write_private(path, key)
        return parse_identifier_key(key, str(path))


def open_deployment(settings: Settings, now: Callable[[], datetime]) -> Deployment:
    """Decide between the sample and the configured sources.

    Raises DeploymentError when both meet in one CDP_HOME: invented people would mix with real ones.
    """
    configured = [
        name
        for name, folder in (
            ("CDP_EVENTS_DIR", settings.events_dir),
            ("CDP_LEGACY_SFMC_DIR", settings.legacy_sfmc_dir),
        )
        if folder is not None
    ]
    has_sample = (settings.sample_dir / "manifest.json").exists()
    if configured and has_sample:
        raise DeploymentError(
            f"{settings.home} holds the invented sample company, and {' and '.join(configured)} names real "
            f"sources; they would mix. Set CDP_HOME to a new folder for the real sources."
        )
    is_sample = not configured and (has_sample or not EventLog(settings.event_log_dir).segments())
    return Deployment(settings=settings, is_sample=is_sample, now=now)


def parse_moment(text: str) -> datetime:
    """ISO 8601, UTC when no zone is given."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise DeploymentError(
            f"{text!r} is not a moment; write it like 2010-12-10T00:00:00Z or 2010-12-10."
        ) from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def parse_identifier_key(text: str, where: str) -> bytes:
    """The key of its hex text; `where` names the place it was read from for the error."""
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        key = b""
    if len(key) < KEY_BYTES // 2:
        raise DeploymentError(
            f"The identifier key in {where} is not hex text of at least {KEY_BYTES // 2} bytes. Restore the "
            f"former one: with another key nobody's identifiers match what is already stored."
        )
    return key


def write_private(path: Path, text: str) -> None:
    """Write a secret that its owner alone may read, there as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_suffix(".new")
    temporary.touch(mode=0o600)
    with temporary.open("w", encoding="ascii") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
