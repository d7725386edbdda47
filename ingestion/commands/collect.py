"""`cdp collect`: the HTTP door."""

import sys
from typing import Annotated

import structlog
import typer

from ingestion.collector.config import CollectorConfig
from ingestion.collector.supervisor import serve
from ingestion.collector.webhooks import WEBHOOKS_FILE, load_webhooks
from ingestion.commands.context import IngestionContext


def commands(context: IngestionContext) -> typer.Typer:
    """The command `cdp collect`."""
    app = typer.Typer(help="Receive events over HTTP.", invoke_without_command=True)

    @app.callback()
    def collect(
        host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
        port: Annotated[int, typer.Option(min=0, max=65_535, help="Port; 0 takes a free one.")] = 8080,
        workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that share the port.")] = 1,
    ) -> None:
        """Receive events over HTTP until interrupted; keys are made with `cdp keys create`."""
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
        config = CollectorConfig(event_log=context.event_log().root, keys_file=context.keys_file)
        serve(
            config,
            host=host,
            port=port,
            workers=workers,
            on_listening=_say,
            webhooks=load_webhooks(WEBHOOKS_FILE, context.registry().source_names(), context.resolve_secret),
        )

    return app


def _say(host: str, port: int) -> None:
    typer.echo(f"http://{f'[{host}]' if ':' in host else host}:{port}")
    sys.stdout.flush()
