"""The only reader of the environment, and the edge where the clock is read.

Every value can be set as an environment variable with the prefix `CDP_`; everything else in the
house receives paths, keys and times as arguments.
"""

import os
import pwd
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from activation.ledger_places import LedgerPlace, ledger_place
from activation.patience import Patience
from orchestration.errors import DeploymentError

PROJECT_ROOT = Path(__file__).resolve().parents[1]

# Nothing of ours, and nothing of the tools we start, reports home.
TELEMETRY_OFF = {
    "DO_NOT_TRACK": "1",
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "DAGSTER_DISABLE_TELEMETRY": "yes",
}


def utc_now() -> datetime:
    """The real time; called at the edge only and handed on as an argument."""
    return datetime.now(tz=UTC)


class Settings(BaseSettings):
    """What a deployment may choose, each with a default that works on an empty machine."""

    model_config = SettingsConfigDict(env_prefix="CDP_", frozen=True, extra="ignore")

    home: Path = Field(
        default=PROJECT_ROOT / "var",
        description="Folder that holds everything a run writes. Default: var/ in the project.",
    )
    as_of: datetime | None = Field(
        default=None,
        description="Moment that audiences and consent are decided for, ISO 8601 UTC. Default: now, "
        "or the sample's own time.",
    )
    identifier_key: SecretStr | None = Field(
        default=None,
        description="Hex key of at least 16 bytes that identifiers are hashed with. Default: kept in "
        "keys/identifier.key, made on the first run.",
    )
    events_dir: Path | None = Field(
        default=None,
        description="Folder of event files (*.jsonl) in Segment's archive form; each is imported once.",
    )
    event_log_archive_url: str | None = Field(
        default=None,
        description="Where sealed segments of the event log are kept: any address that fsspec knows, such as "
        "s3://bucket/events. Default: beside the others, in event_log/sealed/.",
    )
    legacy_sfmc_dir: Path | None = Field(
        default=None,
        description="Folder of Salesforce Marketing Cloud tracking extracts (*.zip).",
    )
    sample_events: int | None = Field(
        default=None,
        ge=1,
        description="Least size, in events, of the sample company that is made when no source is configured. "
        "Default: the whole company once, some 180,000.",
    )
    sample_seed: int = Field(default=20101209, description="Seed of that sample; same seed, same bytes.")
    ledger_url: SecretStr = Field(
        default=SecretStr(""),
        description="Address of the PostgreSQL database that keeps the ledger where several machines "
        "deliver: postgresql://USER@HOST/DATABASE. Default: a SQLite file.",
    )
    sandbox_port: int = Field(
        default=0,
        ge=0,
        le=65_535,
        description="Loopback port of the built-in sandbox during a run; 0 takes a free one.",
    )
    ui_port: int = Field(default=3000, ge=1, le=65_535, description="Loopback port of the Dagster UI.")
    operator: str = Field(
        default_factory=lambda: pwd.getpwuid(os.getuid()).pw_name,
        description="Who is recorded as having paused, approved or recorded something. Default: the login.",
    )
    lock_wait_seconds: float = Field(
        default=900.0,
        ge=0,
        description="How long a writer waits for another one before it gives up.",
    )
    warehouse_memory_limit: str = Field(
        default="2GB", description="DuckDB's memory limit in each process, e.g. 2GB; the rest spills to disk."
    )
    warehouse_threads: int = Field(default=2, ge=1, description="DuckDB's and dbt's threads.")
    min_free_bytes: int = Field(
        default=1_000_000_000, ge=0, description="`cdp doctor` warns below this much free disk."
    )

    drain_seconds: float = Field(
        default=25.0,
        ge=0,
        description="What a run that is asked to stop (SIGTERM, Ctrl-C) gives to the requests in flight.",
    )

    @field_validator("home", "events_dir", "legacy_sfmc_dir")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return None if value is None else value.absolute()

    @field_validator("as_of")
    @classmethod
    def _utc(cls, value: datetime | None) -> datetime | None:
        """A time without a zone is UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)

    @property
    def project_root(self) -> Path:
        """Folder of the git checkout that this package is installed from."""
        return PROJECT_ROOT

    @property
    def dbt_project_dir(self) -> Path:
        """The dbt project."""
        return PROJECT_ROOT / "dbt_project"

    @property
    def event_log_dir(self) -> Path:
        """Append-only segments of everything received."""
        return self.home / "event_log"

    @property
    def write_keys_path(self) -> Path:
        """The hashes of the keys that may send to the collector, readable by its owner only."""
        return self.home / "collector" / "write_keys.json"

    @property
    def streams_dir(self) -> Path:
        """How far the event log was read for the position of each stream."""
        return self.home / "streams"

    @property
    def ingestion_dir(self) -> Path:
        """dlt's working folder and chunk files."""
        return self.home / "ingestion"

    @property
    def sample_dir(self) -> Path:
        """The generated sample company, when there is one."""
        return self.home / "sample"

    @property
    def warehouse_path(self) -> Path:
        """The DuckDB file that writers open under the lock."""
        return self.home / "warehouse.duckdb"

    @property
    def lock_path(self) -> Path:
        """The file that every writer of the warehouse locks."""
        return self.home / "warehouse.lock"

    @property
    def snapshot_path(self) -> Path:
        """The published copy that readers open."""
        return self.home / "snapshot" / "warehouse.duckdb"

    @property
    def ledger_path(self) -> Path:
        """The operational store of activation, where no database keeps it."""
        return self.home / "ledger.sqlite"

    @property
    def ledger_place(self) -> LedgerPlace:
        """Where the operational store of activation is."""
        return ledger_place(self.ledger_url.get_secret_value(), self.ledger_path)

    @property
    def destinations_dir(self) -> Path:
        """What file destinations would upload."""
        return self.home / "destinations"

    @property
    def plans_dir(self) -> Path:
        """What stored plans would send, as hashes."""
        return self.home / "plans"

    @property
    def rates_dir(self) -> Path:
        """The requests that count in each destination's rate windows, shared by all processes."""
        return self.home / "rates"

    @property
    def patience(self) -> Patience:
        """How long the delivery engine tries and waits."""
        return Patience(drain=timedelta(seconds=self.drain_seconds))

    @property
    def sandbox_path(self) -> Path:
        """The sandbox's memory."""
        return self.home / "sandbox.sqlite"

    @property
    def identifier_key_path(self) -> Path:
        """The key file, readable by its owner only."""
        return self.home / "keys" / "identifier.key"

    @property
    def published_ids_dir(self) -> Path:
        """What was ever published about who is who, outside of the warehouse."""
        return self.home / "identity" / "published"

    @property
    def next_identifier_key_path(self) -> Path:
        """The key that a rotation under way will put in the place of the present one."""
        return self.home / "keys" / "identifier.key.next"

    @property
    def dagster_home(self) -> Path:
        """Dagster's storage: runs, events, schedules."""
        return self.home / "dagster"

    @property
    def dbt_target_dir(self) -> Path:
        """dbt's artifacts: manifest, compiled SQL, run results."""
        return self.home / "dbt" / "target"

    @property
    def dbt_log_dir(self) -> Path:
        """dbt's own log."""
        return self.home / "dbt" / "logs"

    @cached_property
    def executables_dir(self) -> Path:
        """Folder of dbt and dagster of this very environment, whatever PATH says."""
        return Path(sys.executable).parent

    def child_environment(self) -> Mapping[str, str]:
        """What the tools we start must find in their environment, beside what is there already.

        dlt and DuckDB would otherwise put files in HOME, which may be empty, missing or read-only.
        """
        return {
            **TELEMETRY_OFF,
            "CDP_HOME": str(self.home),
            "CDP_WAREHOUSE_PATH": str(self.warehouse_path),
            "CDP_DBT_THREADS": str(self.warehouse_threads),
            "CDP_DBT_MEMORY_LIMIT": self.warehouse_memory_limit,
            "DAGSTER_HOME": str(self.dagster_home),
            "DAGSTER_EVENT_BATCH_SIZE": "500",
            "DBT_PROFILES_DIR": str(self.dbt_project_dir),
            "DBT_PROJECT_DIR": str(self.dbt_project_dir),
            "DBT_TARGET_PATH": str(self.dbt_target_dir),
            "DBT_LOG_PATH": str(self.dbt_log_dir),
            "DLT_DATA_DIR": str(self.ingestion_dir / "dlt"),
            "DLT_PROJECT_DIR": str(self.ingestion_dir),
            "PYTHONUTF8": "1",
        }

    def full_environment(self) -> dict[str, str]:
        """The whole environment for a child process."""
        return {**os.environ, **self.child_environment()}  # noqa: TID251 (this is the one reader)

    def resolve_secret(self, name: str) -> str:
        """The secret that a destination refers to by name: an environment variable of exactly that name."""
        value = os.environ.get(name, "")  # noqa: TID251 (secrets are read here and handed on)
        if not value:
            raise DeploymentError(
                f"The secret {name!r}, which destinations.yml, webhooks.yml or streams.yml refers to, is not "
                f"set; set the environment variable {name}."
            )
        return value

    def export_environment(self) -> None:
        """Put the same into this process, for libraries that read the environment themselves."""
        os.environ.update(self.child_environment())  # noqa: TID251 (see above)

    def create_folders(self) -> None:
        """Make the folders that a run writes to."""
        for folder in (
            self.home,
            self.ingestion_dir,
            self.snapshot_path.parent,
            self.destinations_dir,
            self.dagster_home,
            self.dbt_target_dir,
            self.dbt_log_dir,
        ):
            folder.mkdir(parents=True, exist_ok=True)
