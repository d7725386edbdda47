"""A stream that is declared wrong is refused with the key and what to do."""

from pathlib import Path

import pytest

from ingestion.errors import ContractError, FatalIngestionError
from ingestion.registry import load_registry
from ingestion.streams.config import STREAMS_FILE, KafkaStream, load_stream

KAFKA = """
streams:
  - {name: clicks, kind: kafka, source: web, format: json,
     bootstrap_servers: ["k:9092"], topics: [clicks], group: cdp}
"""
SOURCES = frozenset({"web"})


def load(tmp_path: Path, text: str, kind: str = "kafka", name: str | None = None) -> object:
    path = tmp_path / "streams.yml"
    path.write_text(text)
    return load_stream(kind, name, SOURCES, path)


def test_the_only_stream_of_a_kind_needs_no_name(tmp_path: Path) -> None:
    found = load(tmp_path, KAFKA)
    assert isinstance(found, KafkaStream)
    assert (found.name, found.wire, found.security) == ("clicks", "cdp", "plaintext")
    assert load(tmp_path, KAFKA, name="clicks") == found


def test_the_project_declares_none(tmp_path: Path) -> None:
    with pytest.raises(FatalIngestionError, match="declares: none"):
        load_stream("kafka", None, load_registry().source_names(), STREAMS_FILE)
    with pytest.raises(FatalIngestionError, match=r"docs/consume-a-stream\.md"):
        load_stream("kinesis", None, SOURCES, tmp_path / "nothing.yml")


@pytest.mark.parametrize(
    ("old", "new", "error", "words"),
    [
        ("source: web", "source: shop", FatalIngestionError, "source 'shop', which is not in"),
        ("format: json", "format: avro", FatalIngestionError, "add schema_registry with its url"),
        ("format: json", "format: xml", ContractError, "'streams.0.kafka.format' is wrong"),
        ("kind: kafka", "kind: rabbit", ContractError, "'streams.0' is wrong"),
        ('["k:9092"]', "[]", ContractError, "bootstrap_servers"),
        ("group: cdp", "group: cdp, security: sasl_tls", FatalIngestionError, "needs user_secret and"),
        ("group: cdp", "group: cdp, user_secret: hunter2", ContractError, "user_secret"),
        ("group: cdp", "group: cdp, partitions: 3", ContractError, "partitions"),
    ],
)
def test_what_is_wrong_is_named(
    tmp_path: Path, old: str, new: str, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words) as told:
        load(tmp_path, KAFKA.replace(old, new))
    assert "hunter2" not in str(told.value)


def test_a_name_that_is_not_there_or_stands_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FatalIngestionError, match="declares: clicks"):
        load(tmp_path, KAFKA, name="orders")
    with pytest.raises(ContractError, match="'clicks' is defined twice"):
        load(tmp_path, KAFKA + KAFKA.split("streams:\n")[1])
