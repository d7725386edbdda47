"""`cdp contracts`: what events must look like."""

import typer

from ingestion.commands.context import IngestionContext, Json, print_json


def commands(context: IngestionContext) -> typer.Typer:
    """The verbs of `cdp contracts`."""
    app = typer.Typer(help="What events must look like.", no_args_is_help=True)

    @app.command("check")
    def check(as_json: Json = False) -> None:
        """Read every contract and source; the first that is wrong is named with what to do."""
        registry = context.registry()
        if as_json:
            print_json({"contracts": len(registry.contracts), "sources": len(registry.sources)})
        else:
            typer.echo(f"{len(registry.contracts)} contracts and {len(registry.sources)} sources are sound.")

    @app.command("list")
    def list_contracts(as_json: Json = False) -> None:
        """Every contract with its version, status, owner, and the calls that it is for."""
        registry = context.registry()
        calls: dict[tuple[str, str], list[str]] = {}
        for (source, call, event), contract in registry.calls.items():
            place = calls.setdefault((contract.name, contract.version), [])
            place.append(f"{source}: {call} {event}" if event else f"{source}: {call}")
        rows = [
            {
                "contract": contract.name,
                "version": contract.version,
                "status": contract.status,
                "owner": contract.owner.team,
                "description": contract.description.strip(),
                "calls": calls.get((contract.name, contract.version), []),
            }
            for contract in registry.contracts
        ]
        if as_json:
            print_json(rows)
            return
        for row in rows:
            typer.echo(
                f"{row['contract']:<20} {row['version']:<8} {row['status']:<10} {row['owner']:<20} "
                + "; ".join(calls.get((str(row["contract"]), str(row["version"])), ["no source"]))
            )

    return app
