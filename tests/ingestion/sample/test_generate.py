"""Writing a sample: same arguments, same bytes; whole or not at all; in memory that scale does not move."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ingestion.sample import generate
from ingestion.sample.generate import SampleFolderError, write_sample
from ingestion.sample.manifest import AS_OF, SampleUnreadableError, read_manifest
from tests.ingestion.sample.conftest import SMALL

TINY = 6_000
# Order numbers in lines that break their contract.
BROKEN_ORDERS = {b"999001", b"999002"}


def _digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_same_seed_gives_the_same_bytes(small: Path, tmp_path: Path) -> None:
    """In a process of its own, with another hash seed."""
    script = (
        "import sys; from pathlib import Path; from ingestion.sample.generate import write_sample;"
        f"write_sample(Path(sys.argv[1]), events={SMALL})"
    )
    subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "again")],
        check=True,
        env={"PYTHONHASHSEED": "4711"},
        cwd=Path(__file__).parents[3],
    )

    assert _digests(tmp_path / "again") == _digests(small)


def test_another_seed_gives_other_people(small: Path, tmp_path: Path) -> None:
    write_sample(tmp_path / "other", seed=7, events=TINY)

    (events,) = (tmp_path / "other" / "events").iterdir()
    (others,) = (small / "events").iterdir()
    assert not set(events.read_bytes().split(b"\n")[:50]) & set(others.read_bytes().split(b"\n"))


def test_a_small_sample_has_about_as_many_events_as_asked(small: Path) -> None:
    manifest = read_manifest(small)

    assert SMALL <= manifest.events <= SMALL * 1.05
    assert manifest.scale == 1


def test_the_company_has_its_planned_size(company: Path) -> None:
    manifest = read_manifest(company)

    assert 150_000 <= manifest.events <= 250_000
    assert manifest.as_of == AS_OF
    assert manifest.synthetic
    assert manifest.real
    assert manifest.invented


def test_the_manifest_lists_every_file(company: Path) -> None:
    manifest = read_manifest(company)
    found = {path.relative_to(company).as_posix() for path in company.rglob("*") if path.is_file()}

    assert {file.path for file in manifest.files} == found - {"manifest.json"}
    assert [path.name for path in manifest.paths("events", company)] == ["company_00000.jsonl"]
    lines = manifest.paths("events", company)[0].read_bytes().count(b"\n")
    assert lines == manifest.events


def test_a_sample_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    first = write_sample(tmp_path / "sample", events=TINY)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "sample").rglob("*")}

    said: list[str] = []
    second = write_sample(tmp_path / "sample", events=TINY, progress=said.append)

    assert second == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "sample").rglob("*")} == before
    assert said == [f"sample: found with {first.events:,} events"]


def test_another_sample_replaces_the_one_that_is_there(tmp_path: Path) -> None:
    write_sample(tmp_path / "sample", events=TINY)

    manifest = write_sample(tmp_path / "sample", seed=7, events=TINY, truth=False)

    assert read_manifest(tmp_path / "sample") == manifest
    assert manifest.seed == 7
    assert not (tmp_path / "sample" / "truth").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["sample"]


def test_a_half_written_sample_is_never_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process dies while it writes: nothing stands at the place, and the next call makes it whole."""

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(generate, "write_extract", fail)
        with pytest.raises(OSError, match="No space left"):
            write_sample(tmp_path / "sample", events=TINY)
    assert list(tmp_path.iterdir()) == []

    assert write_sample(tmp_path / "sample", events=TINY) == read_manifest(tmp_path / "sample")


def test_a_sample_with_a_truncated_file_is_made_again(tmp_path: Path) -> None:
    write_sample(tmp_path / "sample", events=TINY)
    before = _digests(tmp_path / "sample")
    (path,) = (tmp_path / "sample" / "events").iterdir()
    path.write_bytes(path.read_bytes()[:1000])

    with pytest.raises(SampleUnreadableError, match="has 1000 bytes, the manifest says"):
        read_manifest(tmp_path / "sample")
    write_sample(tmp_path / "sample", events=TINY)

    assert _digests(tmp_path / "sample") == before


def test_a_folder_with_other_files_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("three years of work")

    with pytest.raises(SampleFolderError, match="holds files and is no sample"):
        write_sample(tmp_path, events=TINY)

    assert (tmp_path / "thesis.txt").exists()


def test_no_events_are_no_sample(tmp_path: Path) -> None:
    with pytest.raises(SampleFolderError, match="expected 1 or more"):
        write_sample(tmp_path / "sample", events=0)


def test_a_missing_manifest_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SampleUnreadableError, match="generate one with `cdp sample`"):
        read_manifest(tmp_path)


@pytest.mark.slow
def test_replicas_have_other_ids_and_memory_does_not_grow_with_them(tmp_path: Path) -> None:
    """The peak after the third company is that after the first, but for a tenth."""
    script = (
        "import resource, sys; from pathlib import Path; from ingestion.sample.generate import write_sample\n"
        "def say(text):\n"
        "    if 'is written' in text: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
        "write_sample(Path(sys.argv[1]), events=380_000, truth=False, progress=say)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "sample")],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    peaks = [int(line) for line in done.stdout.split()]

    manifest = read_manifest(tmp_path / "sample")
    assert manifest.scale == len(peaks) == 3
    assert peaks[-1] < peaks[0] * 1.1
    texts = [path.read_bytes() for path in manifest.paths("events", tmp_path / "sample")]
    for name in (b"userId", b"anonymousId", b"order_id", b"messageId"):
        ids = [set(re.findall(b'"%b":"([^"]+)"' % name, text)) - BROKEN_ORDERS for text in texts]
        assert all(ids)
        assert len(ids[0] | ids[1] | ids[2]) == len(ids[0]) + len(ids[1]) + len(ids[2])
