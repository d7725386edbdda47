"""Write keys: who may send events as which source. Only hashes are kept; a key is shown once.

A key is 256 random bits, so a plain SHA-256 of it cannot be guessed backwards; a slow password hash would
only make every request slow.
"""

import contextlib
import fcntl
import hashlib
import os
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import orjson
import structlog
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from ingestion.errors import FatalIngestionError, RejectedInputError
from ingestion.segments import sync_folder

GRACE = timedelta(days=7)
# A revoked key is refused this much later, at most; a new one is known at once.
NOTICED_SECONDS: Final = 0.5
_LONGEST_KEY = 200
_log = structlog.get_logger(__name__)


class WriteKey(BaseModel):
    """A key as it is kept: whose it is, its hash, until when it is good, and what it may send."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    key_id: str
    source: str
    sha256: str
    created_at: AwareDatetime
    expires_at: AwareDatetime | None = None
    revoked_at: AwareDatetime | None = None
    events: tuple[str, ...] | None = None
    events_per_second: Annotated[float, Field(gt=0)] | None = None

    def state(self, now: datetime) -> str:
        """`active`, `expiring` (replaced, still good for a while), `expired` or `revoked`."""
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at is None:
            return "active"
        return "expiring" if now < self.expires_at else "expired"

    def is_good(self, now: datetime) -> bool:
        """Whether messages that come with it are taken."""
        return self.state(now) in {"active", "expiring"}


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    keys: tuple[WriteKey, ...]


@dataclass(frozen=True)
class NewKey:
    """A key that was just made, with its secret: the only moment at which it is known."""

    key: WriteKey
    secret: str


@dataclass(frozen=True)
class KeyFile:
    """The keys of one deployment, in a file that only its owner may read."""

    path: Path

    def read(self) -> tuple[WriteKey, ...]:
        """Every key, oldest first; none when the file is not there."""
        try:
            return _Document.model_validate_json(self.path.read_bytes()).keys
        except FileNotFoundError:
            return ()
        except (OSError, ValidationError) as error:
            raise FatalIngestionError(
                f"The write keys in {self.path} cannot be read ({str(error).splitlines()[0]}); restore the "
                "file from its copy, do not edit it by hand: `cdp keys` writes it."
            ) from error

    def create(
        self,
        source: str,
        now: datetime,
        events: tuple[str, ...] | None = None,
        events_per_second: float | None = None,
    ) -> NewKey:
        """A new key of a source; limited to these event names, and to this rate, when they are given."""
        new = _new_key(source, now, events, events_per_second)
        with self._locked():
            self._write((*self.read(), new.key))
        return new

    def rotate(self, key_id: str, now: datetime, grace: timedelta = GRACE) -> NewKey:
        """A new key with the rights of this one, which stays good for `grace`."""
        with self._locked():
            keys = self.read()
            old = _find(keys, key_id)
            if not old.is_good(now):
                raise RejectedInputError(
                    f"Write key {key_id} is {old.state(now)} and cannot be replaced; make a new one with "
                    f"`cdp keys create {old.source}`."
                )
            new = _new_key(old.source, now, old.events, old.events_per_second)
            until = min(now + grace, old.expires_at or datetime.max.replace(tzinfo=UTC))
            changed = old.model_copy(update={"expires_at": until})
            self._write((*(changed if key == old else key for key in keys), new.key))
        return new

    def revoke(self, key_id: str, now: datetime) -> WriteKey:
        """Refuse this key from now on; a key that was revoked before keeps its moment."""
        with self._locked():
            keys = self.read()
            old = _find(keys, key_id)
            revoked = old.model_copy(update={"revoked_at": old.revoked_at or now})
            self._write(tuple(revoked if key == old else key for key in keys))
        return revoked

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self.path.with_suffix(".lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _write(self, keys: tuple[WriteKey, ...]) -> None:
        draft = self.path.with_suffix(".new")
        draft.unlink(missing_ok=True)
        content = orjson.dumps(_Document(keys=keys).model_dump(mode="json"), option=orjson.OPT_INDENT_2)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path)
        sync_folder(self.path.parent)


@dataclass(frozen=True)
class _Seen:
    """The keys by hash, the state of the file they were read from, and when it was last looked at.

    `without_end` has those by their secrets that were asked for and are good until the file says otherwise.
    """

    keys: dict[str, WriteKey]
    file: tuple[int, int, int] | None
    looked_at: float
    without_end: dict[str, WriteKey] = field(default_factory=dict)


class KeyRing:
    """The keys as a running collector sees them: it follows the file."""

    def __init__(self, file: KeyFile, clock: Callable[[], datetime]) -> None:
        self._file = file
        self._clock = clock
        self._seen = _Seen({}, None, -1e9)
        self.is_sound = True

    def find(self, secret: str) -> WriteKey | None:
        """The good key with this secret. Without one, `is_sound` says whether that is certain."""
        self.refresh()
        known = self._seen.without_end.get(secret)
        if known is not None:
            return known
        if not 0 < len(secret) <= _LONGEST_KEY:
            return None
        # The hash is looked up, never compared with part of the secret: its timing tells nothing of a key.
        digest = _hash(secret)
        key = self._seen.keys.get(digest)
        if key is None:
            self.refresh(at_once=True)
            key = self._seen.keys.get(digest)
        if key is None or not key.is_good(self._clock()):
            return None
        if key.expires_at is None:
            self._seen.without_end[secret] = key
        return key

    def refresh(self, *, at_once: bool = False) -> None:
        """Read the file again if it changed; one that cannot be read leaves the keys as they were."""
        now = time.monotonic()
        if not at_once and now - self._seen.looked_at < NOTICED_SECONDS:
            return
        found = _state_of(self._file.path)
        if found is not None and found == self._seen.file and self.is_sound:
            self._seen = replace(self._seen, looked_at=now)
            return
        try:
            if found is None:
                raise FatalIngestionError(
                    f"There are no write keys in {self._file.path}; make one with `cdp keys create`."
                )
            keys = {key.sha256: key for key in self._file.read()}
        except FatalIngestionError as error:
            # Senders drop what is refused for its key, so a broken or missing file must not refuse anyone.
            if self.is_sound:
                _log.error("write_keys.unreadable", error=str(error))
            self.is_sound = False
            self._seen = replace(self._seen, looked_at=now)
            return
        self.is_sound = True
        self._seen = _Seen(keys, found, now)
        _log.info("write_keys.read", keys=len(keys))


def _state_of(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _new_key(
    source: str, now: datetime, events: tuple[str, ...] | None, events_per_second: float | None
) -> NewKey:
    secret = "wk_" + secrets.token_urlsafe(32)
    key = WriteKey(
        key_id="k_" + secrets.token_hex(4),
        source=source,
        sha256=_hash(secret),
        created_at=now,
        events=events or None,
        events_per_second=events_per_second,
    )
    return NewKey(key, secret)


def _find(keys: tuple[WriteKey, ...], key_id: str) -> WriteKey:
    for key in keys:
        if key.key_id == key_id:
            return key
    raise RejectedInputError(f"There is no write key {key_id!r}; `cdp keys list` shows those that exist.")
