"""The identifier key replaced by another everywhere: nobody changes names, every denial goes on to hold.

A rotation that was killed can be taken up again: the new key is on disk before anything is rekeyed, and takes
the place of the former one last. Until then loads refuse to mix the two.
"""

import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

import duckdb

from activation.ledger import Ledger
from activation.rekeying import rekey_ledger
from ingestion.identifiers import IdentifierKey
from ingestion.rekeying import rekey_warehouse
from orchestration.deployment import KEY_BYTES, Deployment, parse_identifier_key, write_private
from orchestration.errors import DeploymentError
from orchestration.identity.published_ids import keep_published_ids, restore_published_ids
from orchestration.model_inputs import forget_inputs
from orchestration.warehouse import Warehouse


@dataclass(frozen=True)
class Rotation:
    """What a rotation did. `must_be_configured`: the key is a setting, which only a person can change."""

    former_key_id: str
    key_id: str
    identifiers: int
    ledger_rows: int
    must_be_configured: bool


def rotate_identifier_key(
    deployment: Deployment, warehouse: Warehouse, key_file: Path | None = None
) -> Rotation:
    """Rekey the warehouse, the published ids and the ledger. Callers hold the warehouse lock.

    Without a file the new key is made at random, or is that of a rotation that did not end. The models must
    be built in full afterwards, and are by the next run.
    """
    settings = deployment.settings
    former = IdentifierKey(deployment.identifier_key())
    new_text = _new_key(settings.next_identifier_key_path, key_file, former)
    new = IdentifierKey(parse_identifier_key(new_text, str(settings.next_identifier_key_path)))

    with warehouse.connect() as connection:
        pairs = _rekey_warehouse(connection, former, new, settings.published_ids_dir)
    with Ledger(settings.ledger_place) as ledger:
        ledger_rows = rekey_ledger(ledger, pairs)
    must_be_configured = settings.identifier_key is not None
    if not must_be_configured:
        settings.next_identifier_key_path.replace(settings.identifier_key_path)
    return Rotation(former.key_id, new.key_id, len(pairs), ledger_rows, must_be_configured)


def _new_key(path: Path, key_file: Path | None, former: IdentifierKey) -> str:
    """The new key as text, which stands at `path` from now on."""
    if key_file is not None:
        try:
            text = key_file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise DeploymentError(
                f"The new identifier key can not be read from {key_file} ({error}); nothing was changed. "
                f"Give a file with {KEY_BYTES} bytes in hex, as `openssl rand -hex {KEY_BYTES}` writes."
            ) from error
        if IdentifierKey(parse_identifier_key(text, str(key_file))).key_id == former.key_id:
            raise DeploymentError(
                f"Key {former.key_id} in {key_file} is the one in use; nothing was changed. Give another one."
            )
    else:
        text = secrets.token_hex(KEY_BYTES)
        if path.exists():
            begun = path.read_text(encoding="ascii").strip()
            if IdentifierKey(parse_identifier_key(begun, str(path))).key_id != former.key_id:
                return begun  # of a rotation that did not end
    write_private(path, text)
    return text


def _rekey_warehouse(
    connection: duckdb.DuckDBPyConnection, former: IdentifierKey, new: IdentifierKey, published: Path
) -> dict[str, str]:
    tables = {
        f"{schema}.{name}"
        for schema, name in connection.execute(
            "select table_schema, table_name from information_schema.tables"
        ).fetchall()
    }
    if "raw.identifiers" not in tables:
        return {}
    restore_published_ids(connection, published)
    connection.execute("begin")
    try:
        pairs = rekey_warehouse(connection, former, new)
        forget_inputs(connection)
        if "intermediate.int_identity_build_ended" in tables:
            # what is made of keys was not mended: the next build has to be a full one
            connection.execute("delete from intermediate.int_identity_build_ended")
    except BaseException:
        connection.execute("rollback")
        raise
    connection.execute("commit")
    rewritten = published.with_name(f"{published.name}.rekeyed")
    shutil.rmtree(rewritten, ignore_errors=True)
    keep_published_ids(connection, rewritten)
    if rewritten.exists():
        shutil.rmtree(published, ignore_errors=True)
        rewritten.rename(published)
    return pairs
