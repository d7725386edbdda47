"""Each bad input ends in one clear error or a quarantined row with its reason, and the next run heals."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.scenarios.house import House, with_own_project

# a house of its own and several runs for each bad input: minutes, so part of `make test-all`
pytestmark = [pytest.mark.scenario, pytest.mark.slow]


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """Folders of a deployment that reads its own files: a tiny company's events and one extract."""
    folder = tmp_path / "sources"
    made = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path; from ingestion.sample.generate import write_sample; "
            "write_sample(Path(sys.argv[1]), events=2000)",
            str(folder),
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    return folder


@pytest.fixture
def configured(sources: Path, tmp_path: Path) -> House:
    return House(
        home=tmp_path / "var",
        variables={
            "CDP_EVENTS_DIR": str(sources / "events"),
            "CDP_LEGACY_SFMC_DIR": str(sources / "legacy"),
            "CDP_AS_OF": "2010-12-10T00:00:00Z",
        },
    )


def error_of(house: House, *arguments: str) -> str:
    """The one line that a failing command says."""
    finished = house.cdp(*(arguments or ("run",)))
    lines = [line for line in finished.stderr.splitlines() if line.startswith("Error: ")]
    assert finished.returncode == 1, finished.stdout
    assert len(lines) == 1, finished.stderr
    return lines[0]


def append_file(house: House, name: str, *lines: bytes) -> None:
    folder = Path(house.variables["CDP_EVENTS_DIR"])
    (folder / name).write_bytes(b"".join(line + b"\n" for line in lines))


def message(**changes: object) -> bytes:
    body = {
        "type": "track",
        "event": "Product Viewed",
        "messageId": "m-1",
        "userId": "u-1",
        "timestamp": "2010-12-09T00:00:00.000Z",
        "receivedAt": "2010-12-09T00:00:01.000Z",
        "properties": {"sku": "85123A"},
    }
    return json.dumps(body | changes).encode()


def test_bad_lines_and_bad_archives_are_set_aside_with_their_reason_and_mended_later(
    configured: House, sources: Path
) -> None:
    """One run over everything that can be wrong with what is received, and one after it was put right."""
    whole = next((sources / "legacy").glob("*.zip"))
    content = whole.read_bytes()
    changed = sources / "legacy" / "tracking_extract_changed.zip"
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(changed, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            text = source.read(name).decode("utf-16")
            if name.endswith("Unsubs.csv"):
                text = text.replace("SubscriberKey", "SubscriberId2", 1)
            target.writestr(name, text.encode("utf-16"))
    whole.write_bytes(content[: len(content) // 2])
    append_file(
        configured, "zz_bad.jsonl", message(), b"{not json", message(event="Nobody Knows", messageId="m-2")
    )

    configured.run()

    codes = configured.event_counts()["quarantined_by_code"]
    assert (codes["MALFORMED_JSON"] >= 1, codes["UNKNOWN_EVENT"] >= 1) == (True, True)
    [(raw_line,)] = configured.query(
        "select raw_line from raw.events_quarantined where raw_line = '{not json'"
    )
    assert raw_line == "{not json"
    aside = configured.query(
        "select archive_name, code from raw.legacy_files where status = 'quarantined' order by 1, 2"
    )
    assert (whole.name, "CORRUPT_ARCHIVE") in aside
    assert any(archive == changed.name and "HEADER" in code for archive, code in aside)
    before = configured.query("select count(*) from raw.legacy_sfmc__unsubs")

    changed.unlink()
    whole.write_bytes(content)
    configured.run()

    assert configured.query("select count(*) from raw.legacy_sfmc__unsubs") > before


def test_a_source_folder_that_is_not_there_is_one_clear_error(configured: House, tmp_path: Path) -> None:
    missing = House(
        configured.home, variables=configured.variables | {"CDP_LEGACY_SFMC_DIR": str(tmp_path / "gone")}
    )

    assert f"CDP_LEGACY_SFMC_DIR={tmp_path / 'gone'} is not a folder" in error_of(missing)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (
            ("audience: newsletter_gb", "audience: nobody_wrote_it"),
            "'nobody_wrote_it' is not in marts.audiences",
        ),
        (("destination: files", "destination: nowhere"), "'nowhere' is not in destinations.yml"),
        (("column: first_name", "column: no_such_column"), "no_such_column"),
    ],
)
def test_a_sync_that_names_what_is_not_there_is_one_clear_error_and_the_rest_stands(
    house: House, tmp_path: Path, wrong: tuple[str, str], said: str
) -> None:
    own = with_own_project(house, tmp_path / "project")
    file = own.project / "activation" / "syncs" / "newsletter_gb_email.yml"
    right = file.read_text()
    before = own.event_counts()
    file.write_text(right.replace(*wrong))

    error = error_of(own)

    assert said in error
    assert "newsletter_gb_email" in error
    assert own.event_counts() == before
    file.write_text(right)
    assert "0 operations" in own.run().stdout


def test_a_damaged_warehouse_is_rebuilt_from_the_log_and_nothing_is_sent_again(house: House) -> None:
    warehouse = house.home / "warehouse.duckdb"
    before = house.json("status")
    told = ("identity_graph_history", "identity_redirects", "identity_changes")
    told_before = [house.query(f"select * from marts.{name} order by all") for name in told]
    warehouse.write_bytes(b"damaged" * 1000)

    error = error_of(house)

    assert f"mv {warehouse} {warehouse}.damaged" in error
    warehouse.rename(f"{warehouse}.damaged")
    finished = house.run()
    after = house.json("status")
    assert "0 operations" in finished.stdout
    assert after["events"] == before["events"]
    assert after["people"] == before["people"]
    assert [house.query(f"select * from marts.{name} order by all") for name in told] == told_before
    assert [(s["sync"], s["acknowledged"]) for s in after["syncs"]] == [
        (s["sync"], s["acknowledged"]) for s in before["syncs"]
    ]


def test_a_warehouse_that_another_program_has_open_is_named_and_left_alone(house: House) -> None:
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import duckdb, sys, time; c = duckdb.connect(sys.argv[1]); print('open', flush=True); "
            "time.sleep(99)",
            str(house.home / "warehouse.duckdb"),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    try:
        error = error_of(house)
    finally:
        holder.kill()
        holder.wait()

    assert "warehouse.duckdb is open in another program" in error
    assert "0 operations" in house.run().stdout


def test_a_dead_destination_fails_its_syncs_only_and_the_next_run_delivers(
    house: House, tmp_path: Path
) -> None:
    own = with_own_project(house, tmp_path / "project")
    destinations = own.project / "activation" / "destinations.yml"
    right = destinations.read_text()
    [(email,)] = own.query(
        "select identifier_value from marts.audience_memberships "
        "where audience_name = 'lapsed_high_value' order by identifier_key limit 1"
    )
    own.cdp("consent", "withdraw", "--email", email)
    destinations.write_text(right.replace("url: builtin:sandbox", "url: http://127.0.0.1:9"))

    error = error_of(own)

    assert "lapsed_high_value_email" in error or "sandbox" in error
    assert own.query(
        "select count(*) from marts.audience_memberships where identifier_value = ?", [email]
    ) == [(0,)]
    destinations.write_text(right)
    own.run()
    assert email not in own.json("sandbox", "members", "lapsed_high_value_email")


def test_a_full_disk_keeps_nothing_half_written(house: House) -> None:
    """The limit on file size stands in for the disk: the kernel refuses the write in the same way."""
    segments = {path: path.read_bytes() for path in (house.home / "event_log").rglob("*.log")}
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)); "
        "sys.argv = ['cdp', 'consent', 'withdraw', '--email', 'a@example.com']; "
        "from orchestration.cli import main; main()"
    )

    finished = subprocess.run(
        [sys.executable, "-B", "-c", code], env=house.environment, capture_output=True, text=True, check=False
    )

    assert finished.returncode == 1
    assert "is full" in finished.stderr
    assert {path: path.read_bytes() for path in (house.home / "event_log").rglob("*.log")} == segments
    assert "Appended" in house.cdp("consent", "withdraw", "--email", "a@example.com").stdout


def test_a_sample_that_lost_a_file_says_so(house: House) -> None:
    shutil.rmtree(house.home / "sample" / "legacy")
    os.sync()

    error = error_of(house)

    assert "tracking_extract" in error
    assert "the manifest says" in error
