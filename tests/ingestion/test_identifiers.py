"""An identifier has one form and one key, whatever way it was spelled."""

import hashlib
import hmac

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.identifiers import IdentifierKey, identifier_rows, normalise

KEY = IdentifierKey(b"secret of the tests")


@pytest.mark.parametrize(
    ("identifier_type", "raw_value", "country", "expected"),
    [
        ("email", "Kim@Example.COM", None, "kim@example.com"),
        ("email", "  kim+news@example.com\t", None, "kim+news@example.com"),
        ("email", "KIM.LEE@münchen.example", None, "kim.lee@münchen.example"),
        ("email", "kim@example", None, None),
        ("email", "kim@@example.com", None, None),
        ("email", "Kim <kim@example.com>", None, None),
        ("email", "a" * 300 + "@example.com", None, None),
        ("phone", "07700 900123", None, "+447700900123"),
        ("phone", "+44 (0)7700 900123", "DE", "+447700900123"),
        ("phone", "030 901820", "DE", "+4930901820"),
        ("phone", "07700 900123", "XX", "+447700900123"),
        ("phone", "12", None, None),
        ("phone", "call me", None, None),
        ("user_id", " 12345 ", None, "12345"),
        ("user_id", "ABC", None, "ABC"),
        ("user_id", " \u00a0", None, None),
        ("anonymous_id", "", None, None),
        ("sfmc_subscriber_key", "0031t00000ABCde", None, "0031t00000ABCde"),
    ],
)
def test_a_value_has_one_form_or_none(
    identifier_type: str, raw_value: str, country: str | None, expected: str | None
) -> None:
    found = normalise(identifier_type, raw_value, country)
    assert found.value == expected
    assert (found.invalid_reason is None) == (expected is not None)


@given(st.sampled_from(["email", "phone", "user_id"]), st.text(max_size=40))
def test_any_text_is_either_valid_or_invalid_and_a_form_is_its_own_form(kind: str, raw_value: str) -> None:
    found = normalise(kind, raw_value)
    assert (found.value is None) != (found.invalid_reason is None)
    if found.value is not None:
        assert normalise(kind, found.value).value == found.value


def test_the_key_is_the_hmac_of_type_and_form() -> None:
    expected = hmac.new(KEY.secret, b"email:kim@example.com", hashlib.sha256).hexdigest()[:32]
    assert KEY.key_of("email", "kim@example.com") == expected


def test_rows_carry_the_same_keys_and_no_key_where_the_value_is_invalid() -> None:
    seen = pa.table(
        {
            "identifier_type": ["email", "email", "email"],
            "raw_value": ["Kim@example.com", "kim@EXAMPLE.com", "no address"],
            "country": pa.array([None, None, None], pa.string()),
            "first_seen_at": pa.array([0, 0, 0], pa.timestamp("us")),
            "batch_id": ["b", "b", "b"],
        }
    )
    rows = identifier_rows(seen, KEY).to_pylist()
    assert [row["identifier_key"] for row in rows] == [KEY.key_of("email", "kim@example.com")] * 2 + [None]
    assert [row["is_valid"] for row in rows] == [True, True, False]
    assert {row["key_id"] for row in rows} == {KEY.key_id}


def test_the_secret_shows_in_no_representation() -> None:
    assert "secret of the tests" not in repr(KEY) + str(KEY) + KEY.key_id
