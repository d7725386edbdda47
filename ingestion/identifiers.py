"""Identifiers: each distinct (type, raw value) is normalised once, by libraries, and keyed by HMAC."""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass

import phonenumbers
import pyarrow as pa
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
        message = f"{identifier_type}:{normalised}".encode("utf-8", "surrogatepass")
        return hmac.digest(self.secret, message, "sha256").hex()[:_KEY_CHARACTERS]


@dataclass(frozen=True)
class Normalised:
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


def identifier_rows(seen: Iterable[tuple[str, str, str | None, object, str]], key: IdentifierKey) -> pa.Table:
    """Rows of raw.identifiers for (type, raw value, country, first seen at, batch id), all of them new."""
    columns: dict[str, list[object]] = {name: [] for name in IDENTIFIERS.names}
    add = {name: column.append for name, column in columns.items()}
    key_id, key_of = key.key_id, key.key_of
    for identifier_type, raw_value, country, first_seen_at, batch_id in seen:
        normalised = normalise(identifier_type, raw_value, country)
        value = normalised.value
        add["identifier_type"](identifier_type)
        add["raw_value"](raw_value)
        add["normalised_value"](value)
        add["is_valid"](value is not None)
        add["invalid_reason"](normalised.invalid_reason)
        add["identifier_key"](None if value is None else key_of(identifier_type, value))
        add["key_id"](key_id)
        add["first_seen_at"](first_seen_at)
        add["batch_id"](batch_id)
    return pa.table(columns, schema=IDENTIFIERS)


def refuse_other_key(raw: RawWarehouse, key: IdentifierKey) -> None:
    """Stop when the warehouse was keyed with another secret: the same person would get two keys."""
    row = raw.connection.execute(
        "select key_id from raw.identifiers where key_id <> ? limit 1", [key.key_id]
    ).fetchone()
    if row:
        raise FatalIngestionError(
            f"raw.identifiers was keyed with key {row[0]}, but key {key.key_id} was given; "
            "give the former key back, or re-key the table before loading."
        )
