"""A file of a tracking extract is loaded whole and once, or quarantined whole with its reason."""

import csv
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ingestion.sources.sfmc import LegacyLoadReport, load_extract
from ingestion.sources.sfmc_csv import Limits, MemberError, read_member
from ingestion.sources.sfmc_files import KINDS, FileKind
from tests.ingestion.messages import KEY, LOADED_AT, House

Rows = list[dict[str, str]]
KIND = {kind.name: kind for kind in KINDS}


def sent(subscriber: str, **values: str) -> dict[str, str]:
    return {
        "ClientID": "100",
        "SendID": "7",
        "SubscriberKey": subscriber,
        "EmailAddress": f"{subscriber}@example.com",
        "SubscriberID": "9" + subscriber,
        "ListID": "1",
        "EventDate": "8/3/2010 1:41:18 PM",
        "EventType": "Sent",
        "BatchID": "0",
        **values,
    }


def csv_text(kind: FileKind, rows: Rows, tail: tuple[str, ...] = ()) -> str:
    text = io.StringIO()
    columns = [*kind.columns, *tail]
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def whole(changes: Mapping[str, bytes | None] | None = None) -> dict[str, bytes]:
    """Every file that an extract must have with a header only, and `changes`; None leaves a file out."""
    files = {kind.member: csv_text(kind, []).encode("utf-16") for kind in KINDS if not kind.is_optional}
    return {name: content for name, content in {**files, **(changes or {})}.items() if content is not None}


def zipped(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def load(house: House, archive: Path, **options: Any) -> LegacyLoadReport:
    house.furnish()
    return load_extract(
        archive,
        warehouse=house.warehouse,
        work_folder=house.folder / "work",
        key=KEY,
        clock=lambda: LOADED_AT,
        **options,
    )


def outcome(report: LegacyLoadReport) -> dict[str | None, str | None]:
    """The code of each file that is quarantined."""
    return {file.member_name: file.code for file in report.quarantined}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-8", "utf-8-sig"])
def test_a_file_is_read_in_every_encoding_that_accounts_export(house: House, encoding: str) -> None:
    content = csv_text(KIND["sent"], [sent("zoë"), sent("2", EmailAddress='"quoted, name"@example.com')])
    report = load(house, zipped(house.folder / "x.zip", whole({"Sent.csv": content.encode(encoding)})))
    assert outcome(report) == {}
    assert house.rows(
        "select subscriber_key, email_address, event_date, line from raw.legacy_sfmc__sent"
    ) == [
        ("zoë", "zoë@example.com", "8/3/2010 1:41:18 PM", 2),
        ("2", '"quoted, name"@example.com', "8/3/2010 1:41:18 PM", 3),
    ]


def test_every_value_stays_text_and_an_empty_one_is_null(house: House) -> None:
    row = sent("007", ListID="", SendID="00012", BatchID="0")
    load(house, zipped(house.folder / "x.zip", whole({"Sent.csv": csv_text(KIND["sent"], [row]).encode()})))
    assert house.rows("select subscriber_key, list_id, send_id, batch_id from raw.legacy_sfmc__sent") == [
        ("007", None, "00012", "0")
    ]


@pytest.mark.parametrize(
    ("kind", "tail"),
    [
        ("sent", ("CampaignID",)),
        ("opens", ("IsUnique",)),
        ("opens", ("Browser", "EmailClient", "OperatingSystem", "Device")),
        ("opens", tuple(column for tail in KIND["opens"].tails for column in tail)),
        ("clicks", ("IsUnique", "IsUniqueForURL")),
        ("unsubs", ("CampaignID", "UnsubReason")),
    ],
)
def test_the_columns_that_an_account_may_switch_on_are_known(kind: str, tail: tuple[str, ...]) -> None:
    assert KIND[kind].accepts((*KIND[kind].columns, *tail))


@pytest.mark.parametrize("tail", [("Device",), ("IsUnique", "CampaignID"), ("IsUnique", "IsUnique"), ("",)])
def test_half_a_group_of_columns_or_another_order_is_unknown(tail: tuple[str, ...]) -> None:
    assert not KIND["opens"].accepts((*KIND["opens"].columns, *tail))


HEADER = ",".join(KIND["sent"].columns)
LINE = ",".join(sent("1").get(column, "") for column in KIND["sent"].columns)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "UNKNOWN_HEADER"),
        (HEADER.replace("EmailAddress", "Email").encode(), "UNKNOWN_HEADER"),
        (
            HEADER.replace("SubscriberKey,EmailAddress", "EmailAddress,SubscriberKey").encode(),
            "UNKNOWN_HEADER",
        ),
        ((HEADER + ",Surprise").encode(), "UNKNOWN_HEADER"),
        (HEADER.lower().encode(), "UNKNOWN_HEADER"),
        (HEADER.replace(",", "\t").encode(), "UNKNOWN_HEADER"),
        (f"{HEADER}\r\n{LINE},one more\r\n".encode(), "BAD_CSV"),
        (f"{HEADER}\r\n{LINE}\r\n1,2,3".encode(), "BAD_CSV"),
        (f'{HEADER}\r\n{LINE}\r\n"never closed'.encode(), "BAD_CSV"),
        (f'{HEADER}\r\n"closed"too early,{LINE}\r\n'.encode(), "BAD_CSV"),
        (f"{HEADER}\r\n{LINE}\r\n\r\n{LINE}\r\n".encode(), "BAD_CSV"),
        (f"{HEADER}\r\n{LINE}\r\n".encode() + b"\xff\xfe\r\n", "BAD_ENCODING"),
        (f"{HEADER}\r\n{LINE}\r\n".encode("utf-16")[:-1], "BAD_ENCODING"),
    ],
)
def test_a_file_that_is_not_as_known_is_refused_with_its_code(
    tmp_path: Path, content: bytes, code: str
) -> None:
    archive = zipped(tmp_path / "x.zip", {"Sent.csv": content})
    with zipfile.ZipFile(archive) as opened, pytest.raises(MemberError) as refused:
        read_member(opened, opened.infolist()[0], KIND["sent"], tmp_path / "out.parquet", Limits())
    assert refused.value.code == code


def test_a_refused_file_is_quarantined_whole_and_noted_once(house: House) -> None:
    bad = f"{HEADER}\r\n{LINE}\r\n1,2,3".encode()
    archive = zipped(house.folder / "x.zip", whole({"Sent.csv": bad}))
    for _ in range(2):
        assert outcome(load(house, archive)) == {"Sent.csv": "BAD_CSV"}
    assert house.rows("select count(*) from raw.legacy_sfmc__sent") == [(0,)]
    assert house.rows(
        "select member_name, status, code from raw.legacy_files where status <> 'accepted'"
    ) == [("Sent.csv", "quarantined", "BAD_CSV")]


def test_a_changed_header_says_what_is_missing(house: House) -> None:
    changed = HEADER.replace("EmailAddress", "Email").encode()
    report = load(house, zipped(house.folder / "x.zip", whole({"Sent.csv": changed})))
    (file,) = report.quarantined
    assert file.reason is not None
    assert "it lacks EmailAddress and has 1 unknown columns" in file.reason


def test_a_file_that_is_not_in_the_archive_is_reported_and_the_others_are_loaded(house: House) -> None:
    content = csv_text(KIND["sent"], [sent("1")]).encode()
    report = load(house, zipped(house.folder / "x.zip", whole({"Unsubs.csv": None, "Sent.csv": content})))
    assert outcome(report) == {"Unsubs.csv": "MISSING_MEMBER"}
    assert report.new_rows == 1


@pytest.mark.parametrize("name", ["../Sent.csv", "/Sent.csv", "C:\\Sent.csv", "inner/Sent.csv", "Notes.txt"])
def test_an_entry_with_another_name_is_never_opened(house: House, name: str) -> None:
    """The content would be refused too; its code tells that it was not looked at."""
    report = load(house, zipped(house.folder / "x.zip", whole({name: b"\xff not read"})))
    assert outcome(report) == {name: "UNKNOWN_MEMBER"}


def test_a_name_that_stands_twice_in_the_archive_is_not_read_at_all(house: House) -> None:
    content = csv_text(KIND["sent"], [sent("1")]).encode()
    archive = zipped(house.folder / "x.zip", whole())
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(archive, "a") as again:
        again.writestr("Sent.csv", content)
    assert outcome(load(house, archive)) == {"Sent.csv": "REPEATED_MEMBER"}
    assert house.rows("select count(*) from raw.legacy_sfmc__sent") == [(0,)]


def test_names_that_differ_in_case_only_are_one_name(house: House) -> None:
    report = load(house, zipped(house.folder / "x.zip", whole({"sent.CSV": b""})))
    assert outcome(report) == {"Sent.csv": "REPEATED_MEMBER", "sent.CSV": "REPEATED_MEMBER"}


def test_an_archive_that_is_missing_is_reported(house: House) -> None:
    report = load(house, house.folder / "absent.zip")
    assert outcome(report) == {None: "MISSING_ARCHIVE"}
    assert house.rows("select archive_name, code from raw.legacy_files") == [
        ("absent.zip", "MISSING_ARCHIVE")
    ]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_archive_is_quarantined_and_nothing_of_it_is_loaded(house: House, share: float) -> None:
    content = csv_text(KIND["sent"], [sent(str(n)) for n in range(500)]).encode("utf-16")
    archive = zipped(house.folder / "x.zip", whole({"Sent.csv": content}))
    archive.write_bytes(archive.read_bytes()[: int(archive.stat().st_size * share)])
    assert outcome(load(house, archive)) == {None: "CORRUPT_ARCHIVE"}
    assert house.rows("select count(*) from raw.legacy_sfmc__sent") == [(0,)]


def test_damage_inside_one_file_quarantines_that_file_only(house: House) -> None:
    content = csv_text(KIND["sent"], [sent(str(n)) for n in range(500)]).encode()
    archive = zipped(house.folder / "x.zip", whole({"Sent.csv": content}))
    with zipfile.ZipFile(archive) as opened:
        start = opened.getinfo("Sent.csv").header_offset + 200
    damaged = bytearray(archive.read_bytes())
    damaged[start : start + 20] = bytes(20)
    archive.write_bytes(damaged)
    assert outcome(load(house, archive)) == {"Sent.csv": "CORRUPT_ARCHIVE"}


def test_a_file_that_unpacks_beyond_the_limits_is_not_read_to_its_end(house: House) -> None:
    bomb = b"0" * 40_000_000
    archive = zipped(house.folder / "x.zip", whole({"Sent.csv": bomb}))
    assert outcome(load(house, archive)) == {"Sent.csv": "TOO_LARGE"}
    small = load(house, zipped(house.folder / "y.zip", whole()), limits=Limits(member_bytes=100))
    assert set(outcome(small).values()) == {"TOO_LARGE"}


def test_an_archive_with_too_many_entries_is_not_opened(house: House) -> None:
    many = {f"{number}.csv": b"" for number in range(101)}
    assert outcome(load(house, zipped(house.folder / "x.zip", many))) == {None: "TOO_MANY_ENTRIES"}


def test_loading_the_same_content_again_adds_no_row_whatever_the_archive_is_called(house: House) -> None:
    files = whole({"Sent.csv": csv_text(KIND["sent"], [sent("1"), sent("1"), sent("2")]).encode()})
    first = load(house, zipped(house.folder / "monday.zip", files))
    tables = [house.rows("select * from raw.legacy_files"), house.rows("select * from raw.identifiers")]
    again = load(house, zipped(house.folder / "tuesday.zip", files))
    assert (first.new_rows, again.new_rows) == (3, 0)
    assert all(file.already_loaded for file in again.files)
    assert [
        house.rows("select * from raw.legacy_files"),
        house.rows("select * from raw.identifiers"),
    ] == tables


def test_an_overlapping_extract_adds_only_what_is_new(house: House) -> None:
    """Two identical opens in one second are two rows, in each extract the same two."""
    opens = [sent("1", EventType="Open"), sent("1", EventType="Open")]
    monday = csv_text(KIND["opens"], opens).encode()
    tuesday = csv_text(KIND["opens"], [sent("3", EventType="Open"), *opens]).encode("utf-16")
    first = load(house, zipped(house.folder / "a.zip", whole({"Opens.csv": monday})))
    second = load(house, zipped(house.folder / "b.zip", whole({"Opens.csv": tuesday})))
    assert (first.new_rows, second.new_rows) == (2, 1)
    assert house.rows("select subscriber_key from raw.legacy_sfmc__opens order by all") == [
        ("1",),
        ("1",),
        ("3",),
    ]
    assert house.rows("select count(distinct row_id) from raw.legacy_sfmc__opens") == [(3,)]


def test_a_subscriber_whose_status_changed_is_a_new_row(house: House) -> None:
    def extract(status: str) -> bytes:
        row = {"ClientID": "100", "SubscriberKey": "1", "EmailAddress": "a@example.com", "SubscriberID": "91"}
        return csv_text(KIND["subscribers"], [{**row, "Status": status}]).encode()

    for day, status in enumerate(["Active", "Unsubscribed", "Active"]):
        load(house, zipped(house.folder / f"{day}.zip", whole({"Subscribers.csv": extract(status)})))
    assert house.rows("select status from raw.legacy_sfmc__subscribers order by all") == [
        ("Active",),
        ("Unsubscribed",),
    ]


def test_subscriber_keys_and_addresses_become_identifiers(house: House) -> None:
    rows = [sent("A-1", EmailAddress=" Kim@Example.com"), sent("a-1", EmailAddress="broken@")]
    load(house, zipped(house.folder / "x.zip", whole({"Sent.csv": csv_text(KIND["sent"], rows).encode()})))
    assert house.rows(
        "select identifier_type, raw_value, normalised_value, is_valid from raw.identifiers order by all"
    ) == [
        ("email", " Kim@Example.com", "kim@example.com", True),
        ("email", "broken@", None, False),
        ("sfmc_subscriber_key", "A-1", "A-1", True),
        ("sfmc_subscriber_key", "a-1", "a-1", True),
    ]


def test_rows_without_their_accepted_file_are_removed_before_the_next_load(house: House) -> None:
    archive = zipped(
        house.folder / "x.zip", whole({"Sent.csv": csv_text(KIND["sent"], [sent("1")]).encode()})
    )
    load(house, archive)
    with duckdb.connect(str(house.warehouse)) as connection:
        connection.execute("delete from raw.legacy_files")
    assert load(house, archive).new_rows == 1
    assert house.rows("select count(*) from raw.legacy_sfmc__sent") == [(1,)]
    assert house.rows("select count(*) from raw.identifiers") == [(2,)]
