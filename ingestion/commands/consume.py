"""`cdp consume`: streams into the event log."""

import asyncio
import signal
import sys
from contextlib import AsyncExitStack
from typing import Annotated

import httpx
import structlog
import typer

from ingestion.commands.context import IngestionContext
from ingestion.streams.config import KafkaStream, KinesisStream, load_stream
from ingestion.streams.decoding import Decoder
from ingestion.streams.positions import Positions
from ingestion.streams.protocol import Consumer
from ingestion.streams.runner import Consumed, consume
from ingestion.streams.schema_registry import HttpSchemas

_Name = Annotated[str | None, typer.Argument(help="The stream in streams.yml; default: the only one.")]
REGISTRY_SECONDS = 10.0


def commands(context: IngestionContext) -> typer.Typer:
    """The verbs of `cdp consume`, one for each kind of stream."""
    app = typer.Typer(help="Receive events from streams.", no_args_is_help=True)

    @app.command("kafka")
    def kafka(name: _Name = None) -> None:
        """Append what Kafka topics hold to the event log, until interrupted."""
        _run(context, "kafka", name)

    @app.command("kinesis")
    def kinesis(name: _Name = None) -> None:
        """Append what a Kinesis stream holds to the event log, until interrupted."""
        _run(context, "kinesis", name)

    return app


def _run(context: IngestionContext, kind: str, name: str | None) -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    stream = load_stream(kind, name, context.registry().source_names(), context.streams_file)
    done = asyncio.run(_consume(context, stream))
    typer.echo(f"{done.messages} messages are in the event log, in {done.batches} appends.")


async def _consume(context: IngestionContext, stream: KafkaStream | KinesisStream) -> Consumed:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    log = context.event_log()
    async with AsyncExitStack() as stack:
        decoder = Decoder(
            stream.name,
            stream.wire,
            is_avro=stream.format == "avro",
            schemas=await _schemas(context, stream, stack),
        )
        return await consume(
            _consumer(context, stream),
            decoder,
            source=stream.source,
            log=log,
            positions=Positions(log, context.streams_folder, stream.name),
            clock=context.now,
            stop=stop,
        )


async def _schemas(
    context: IngestionContext, stream: KafkaStream | KinesisStream, stack: AsyncExitStack
) -> HttpSchemas | None:
    registry = stream.schema_registry
    if registry is None:
        return None
    user, password = (
        context.resolve_secret(name) if name else ""
        for name in (registry.user_secret, registry.password_secret)
    )
    client = httpx.AsyncClient(
        base_url=registry.url.rstrip("/") + "/",
        auth=(user, password) if user else None,
        timeout=REGISTRY_SECONDS,
    )
    return HttpSchemas(await stack.enter_async_context(client))


def _consumer(context: IngestionContext, stream: KafkaStream | KinesisStream) -> Consumer:
    # each brings a large library that no other command needs
    if isinstance(stream, KinesisStream):
        from ingestion.streams.kinesis import KinesisConsumer  # noqa: PLC0415

        return KinesisConsumer(stream)
    from ingestion.streams.kafka import KafkaConsumer  # noqa: PLC0415

    credentials = None
    if stream.user_secret and stream.password_secret:
        credentials = (
            context.resolve_secret(stream.user_secret),
            context.resolve_secret(stream.password_secret),
        )
    return KafkaConsumer(stream, credentials)
