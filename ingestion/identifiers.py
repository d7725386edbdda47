"""Identifiers: each distinct (type, raw value) is normalised once, by libraries, and keyed by HMAC."""

import hashlib
import hmac
from dataclasses import dataclass
from typing import NamedTuple

import phonenumbers
import pyarrow as pa
import pyarrow.compute as pc
from email_validator import EmailNotValidError, validate_email

from ingestion.errors import FatalIngestionError
from ingestion.raw_tables import IDENTIFIERS
from ingestion.warehouse import RawWarehouse

DEFAULT_REGION = "GB"
_KEY_CHARACTERS = 32


@dataclass(frozen=True)
class IdentifierKey:
    """The secret that identifier keys are made with; `key_id` names it and tells nothing about it."""

    secret: bytes

    def __repr__(self) -> str:
        """Never the secret."""
        return f"IdentifierKey(key_id={self.key_id!r})"

    @property
    def key_id(self) -> str:
        """A short name of the secret, the same for the same secret."""
        return hashlib.sha256(b"identifier key id\0" + self.secret).hexdigest()[:12]

    def key_of(self, identifier_type: str, normalised: str) -> str:
        """The keyed name of an identifier: HMAC-SHA256 of `type:value`, the first 32 hex digits."""
        return _key(hmac.new(self.secret, digestmod="sha256"), identifier_type, normalised)


class Normalised(NamedTuple):
    """A value in the one form that we compare, or the reason why it has none."""

    value: str | None
    invalid_reason: str | None = None


def normalise(identifier_type: str, raw_value: str, region: str | None = None) -> Normalised:
    """Bring an identifier into its one form.

    email: syntax by email-validator, whole address in lower case, plus-tag kept. phone: E.164 by
    phonenumbers, a number without country code read in `region` (GB unless known). Others: without blanks
    around.
    """
    value = raw_value.strip()
    if not value:
        return Normalised(None, "blank")
    if identifier_type == "email":
        return _email(value)
    if identifier_type == "phone":
        return _phone(value, region or DEFAULT_REGION)
    return Normalised(value)


def _email(value: str) -> Normalised:
    try:
        return Normalised(validate_email(value, check_deliverability=False).normalized.lower())
    except EmailNotValidError:
        return Normalised(None, "not an e-mail address")


def _phone(value: str, region: str) -> Normalised:
    try:
        number = phonenumbers.parse(value, region)
    except phonenumbers.NumberParseException:
        try:
            number = phonenumbers.parse(value, DEFAULT_REGION)
        except phonenumbers.NumberParseException:
            return Normalised(None, "not a phone number")
    if not phonenumbers.is_possible_number(number):
        return Normalised(None, "not a possible phone number")
    return Normalised(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def identifier_rows(seen: pa.Table, key: IdentifierKey) -> pa.Table:
    """Rows of raw.identifiers for identifiers that are all new.

    `seen` has the columns identifier_type, raw_value, country (or null), first_seen_at, batch_id.
    """
    types = seen["identifier_type"].to_pylist()
    found = [
        normalise(kind, raw_value, country)
        for kind, raw_value, country in zip(
            types, seen["raw_value"].to_pylist(), seen["country"].to_pylist(), strict=True
        )
    ]
    keyed = hmac.new(key.secret, digestmod="sha256")
    keys = [
        None if normalised.value is None else _key(keyed, kind, normalised.value)
        for kind, normalised in zip(types, found, strict=True)
    ]
    values = pa.array([normalised.value for normalised in found], pa.string())
    columns = {
        "identifier_type": seen["identifier_type"],
        "raw_value": seen["raw_value"],
        "normalised_value": values,
        "is_valid": pc.is_valid(values),
        "invalid_reason": pa.array([normalised.invalid_reason for normalised in found], pa.string()),
        "identifier_key": pa.array(keys, pa.string()),
        "key_id": pa.repeat(key.key_id, seen.num_rows),
        "first_seen_at": seen["first_seen_at"],
        "batch_id": seen["batch_id"],
    }
    return pa.table(columns).cast(IDENTIFIERS)


def _key(keyed: hmac.HMAC, identifier_type: str, normalised: str) -> str:
    keyed = keyed.copy()
    keyed.update(f"{identifier_type}:{normalised}".encode("utf-8", "surrogatepass"))
    return keyed.hexdigest()[:_KEY_CHARACTERS]


def refuse_other_key(raw: RawWarehouse, key: IdentifierKey) -> None:
    """Stop when the warehouse was keyed with another secret: the same person would get two keys."""
    row = raw.connection.execute(
        "select key_id from raw.identifiers where key_id <> ? limit 1", [key.key_id]
    ).fetchone()
    if row:
        raise FatalIngestionError(
            f"raw.identifiers was keyed with key {row[0]}, but key {key.key_id} was given; "
            "give the former key back. A key is replaced by `cdp identity rotate-key`, which also ends a "
            "rotation that was killed."
        )
