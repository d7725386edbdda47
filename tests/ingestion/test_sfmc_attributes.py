"""Attributes.csv ends in columns of the account: read as declared, refused as a whole where one is not."""

import csv
import io
from pathlib import Path

import pytest

from ingestion.errors import ContractError
from ingestion.sources.sfmc_attributes import AttributeColumns, load_attribute_columns
from tests.ingestion.messages import House
from tests.ingestion.test_sfmc import KIND, load, outcome, whole, zipped

DECLARED = AttributeColumns(
    columns={"Vorname": "first_name", "Nachname": "last_name", "Geburtstag": "date_of_birth"},
    not_read=("Stufe",),
)
ACCOUNT = ("Vorname", "Nachname", "Geburtstag", "Stufe")


def attributes(rows: list[tuple[str, ...]], columns: tuple[str, ...] = ACCOUNT) -> bytes:
    """A file with these columns of the account; a row is the subscriber key and the account's values."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([*KIND["attributes"].columns, *columns])
    writer.writerows(("100", key, f"{key}@example.com", f"9{key}", *values) for key, *values in rows)
    return text.getvalue().encode("utf-16")


def traits(house: House) -> list[tuple[object, ...]]:
    return house.rows(
        "select subscriber_key, first_name, last_name, date_of_birth, city, line "
        "from raw.legacy_sfmc__attributes order by all"
    )


def test_columns_are_read_as_the_trait_that_they_are_declared_as(house: House) -> None:
    """In any order; an empty value is null, and so is a trait that the account has no column for."""
    content = attributes(
        [("1", "gold", "5/14/1971", "Zoë", "Weiß"), ("2", "", "", "Jan", "")],
        ("Stufe", "Geburtstag", "Vorname", "Nachname"),
    )
    archive = zipped(house.folder / "x.zip", whole({"Attributes.csv": content}))
    assert outcome(load(house, archive, attributes=DECLARED)) == {}
    assert traits(house) == [
        ("1", "Zoë", "Weiß", "5/14/1971", None, 2),
        ("2", "Jan", None, None, None, 3),
    ]


def test_subscriber_keys_of_profiles_become_identifiers(house: House) -> None:
    content = attributes([("7", "Ada", "Byron", "", "")])
    load(house, zipped(house.folder / "x.zip", whole({"Attributes.csv": content})), attributes=DECLARED)
    assert house.rows("select identifier_type, raw_value from raw.identifiers order by all") == [
        ("email", "7@example.com"),
        ("sfmc_subscriber_key", "7"),
    ]


def test_an_extract_without_profiles_is_whole(house: House) -> None:
    report = load(house, zipped(house.folder / "x.zip", whole()), attributes=DECLARED)
    assert outcome(report) == {}


def test_the_same_profiles_again_add_nothing_and_a_changed_one_is_a_new_row(house: House) -> None:
    monday = attributes([("1", "Ada", "Byron", "", ""), ("2", "Jan", "Kaya", "", "")])
    tuesday = attributes([("1", "Ada", "Lovelace", "", ""), ("2", "Jan", "Kaya", "", "")])
    loaded = [
        load(
            house,
            zipped(house.folder / f"{day}.zip", whole({"Attributes.csv": content})),
            attributes=DECLARED,
        ).new_rows
        for day, content in enumerate([monday, monday, tuesday])
    ]
    assert loaded == [2, 0, 1]
    assert [row[:3] for row in traits(house)] == [
        ("1", "Ada", "Byron"),
        ("1", "Ada", "Lovelace"),
        ("2", "Jan", "Kaya"),
    ]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ((*ACCOUNT, "Hund"), "has 'Hund' that nobody declared"),
        (ACCOUNT[:-1], "lacks 'Stufe'"),
        (("Vorname", "Name", "Geburtstag", "Stufe"), "has 'Name' that nobody declared and lacks 'Nachname'"),
        ((*ACCOUNT, "Vorname"), "has 'Vorname' twice"),
    ],
)
def test_a_column_that_is_not_declared_sets_the_file_aside_whole(
    house: House, columns: tuple[str, ...], said: str
) -> None:
    """The error names the column, what it may be, and the file to say so in."""
    content = attributes([("1", *("x" for _ in columns))], columns)
    report = load(
        house, zipped(house.folder / "x.zip", whole({"Attributes.csv": content})), attributes=DECLARED
    )
    assert outcome(report) == {"Attributes.csv": "UNKNOWN_HEADER"}
    reason = report.quarantined[0].reason
    assert reason is not None
    assert said in reason
    assert "ingestion/sources/sfmc_attributes.yml" in reason
    assert "first_name, last_name" in reason
    assert traits(house) == []


def test_a_file_without_a_header_shows_no_value(house: House) -> None:
    content = "100,1,ada@example.com,91,Ada,Byron,,\r\n".encode("utf-16")
    report = load(
        house, zipped(house.folder / "x.zip", whole({"Attributes.csv": content})), attributes=DECLARED
    )
    reason = report.quarantined[0].reason
    assert reason is not None
    assert "lacks ClientID, SubscriberKey, EmailAddress, SubscriberID and has 8 unknown columns" in reason
    assert "Ada" not in reason


def test_the_declaration_of_the_project_is_that_of_the_sample() -> None:
    declared = load_attribute_columns()
    assert declared.columns["Birthday"] == "date_of_birth"
    assert declared.not_read == ("Loyalty Tier",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("columns: {First Name: name}", "key 'columns.First Name' is wrong"),
        ("columns: {A: city, B: city}", "'city' is defined twice"),
        ("columns: {A: city}\nnot_read: [A]", "'A' is defined twice"),
        ("columns: {SubscriberKey: phone}", "'SubscriberKey' is one of the vendor's own columns"),
        ("column: {}", "key 'column' is wrong"),
    ],
)
def test_a_wrong_declaration_is_refused_by_key(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "sfmc_attributes.yml"
    path.write_text(text)
    with pytest.raises(ContractError, match=said):
        load_attribute_columns(path)
