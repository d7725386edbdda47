"""Which streams are consumed: ingestion/sources/streams.yml."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from ingestion.contract import Filled, Name
from ingestion.errors import FatalIngestionError
from ingestion.yaml_files import Declared, parse, read_text, refuse_repeats

STREAMS_FILE = Path(__file__).parents[1] / "sources" / "streams.yml"
_SecretName = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]*$")]
_Url = Annotated[str, StringConstraints(pattern=r"^https?://[^/]+(/.*)?$")]


class SchemaRegistry(Declared):
    """A registry with Confluent's interface; `secrets` are names of environment variables."""

    url: _Url
    user_secret: _SecretName | None = None
    password_secret: _SecretName | None = None


class _Stream(Declared):
    """What every stream says: whose events it carries, and how they are written."""

    name: Name
    source: Name
    format: Literal["json", "avro"]
    # Whose envelope the messages have: ours, or that of an SDK's calls.
    wire: Literal["cdp", "segment"] = "cdp"
    schema_registry: SchemaRegistry | None = None


class KafkaStream(_Stream):
    """Topics of a Kafka cluster; credentials, where it wants some, by names of environment variables."""

    kind: Literal["kafka"]
    bootstrap_servers: Annotated[tuple[Filled, ...], Field(min_length=1)]
    topics: Annotated[tuple[Filled, ...], Field(min_length=1)]
    group: Filled
    security: Literal["plaintext", "tls", "sasl_tls"] = "plaintext"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    user_secret: _SecretName | None = None
    password_secret: _SecretName | None = None


class KinesisStream(_Stream):
    """One Kinesis data stream; credentials come from where boto3 looks for them."""

    kind: Literal["kinesis"]
    stream: Filled
    region: Filled
    endpoint_url: _Url | None = None


Stream = Annotated[KafkaStream | KinesisStream, Field(discriminator="kind")]


class _Document(Declared):
    streams: tuple[Stream, ...]


def load_stream(
    kind: str, name: str | None, sources: frozenset[str], path: Path = STREAMS_FILE
) -> KafkaStream | KinesisStream:
    """The stream of that kind and name; without a name, the only one of that kind.

    Raises ContractError for a file that is wrong and FatalIngestionError, which lists what there is, for a
    stream that is not declared or does not fit.
    """
    streams = parse(path.name, read_text(path), _Document).streams if path.exists() else ()
    refuse_repeats(path.name, (stream.name for stream in streams))
    known = [stream for stream in streams if stream.kind == kind]
    found = [stream for stream in known if name in (None, stream.name)]
    if len(found) != 1:
        there = ", ".join(stream.name for stream in known) or "none"
        raise FatalIngestionError(
            f"There is no one {kind} stream {name or ''}to consume; {path.name} declares: {there}. Name one, "
            "or declare it as docs/consume-a-stream.md shows."
        )
    stream = found[0]
    if stream.source not in sources:
        raise FatalIngestionError(
            f"{path.name}: stream {stream.name!r} carries events of source {stream.source!r}, which is not "
            "in event_sources.yml; add it there."
        )
    if stream.format == "avro" and stream.schema_registry is None:
        raise FatalIngestionError(
            f"{path.name}: stream {stream.name!r} has format avro, which cannot be read without its schemas; "
            "add schema_registry with its url."
        )
    if isinstance(stream, KafkaStream) and (stream.security == "sasl_tls") != (
        stream.user_secret is not None and stream.password_secret is not None
    ):
        raise FatalIngestionError(
            f"{path.name}: stream {stream.name!r} needs user_secret and password_secret with security "
            "sasl_tls, and only there."
        )
    return stream
