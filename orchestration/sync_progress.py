"""What a person sees of a sync while it is delivered: a spinner, or in a log a line every ten seconds."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape

from activation.progress import Progress


@contextmanager
def watched_sync(console: Console) -> Iterator[Progress]:
    """Progress that is told on the console (stderr)."""
    if not console.is_terminal:
        yield Progress(lambda lines: _print(console, lines))
        return
    with console.status("planning") as status:
        yield Progress(lambda lines: status.update(escape("; ".join(lines))), every_seconds=0.25)


def _print(console: Console, lines: list[str]) -> None:
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
