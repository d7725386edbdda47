"""Who reads a field of an event: what a breaking change of its contract must name."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

# reads: in a column or condition of its own. carries: all properties as one JSON text, read by nobody we
# know. follows: only which rows it has depends on the field.
How = Literal["reads", "carries", "follows"]
HOW: tuple[How, ...] = ("reads", "carries", "follows")


@dataclass(frozen=True)
class FieldReader:
    """A dbt model, an audience or a sync, and what it does with the field."""

    kind: Literal["model", "audience", "sync"]
    name: str
    how: How


# Event name and dotted paths of its properties (none: all of them) to who reads any of them.
FindReaders = Callable[[str, frozenset[str]], tuple[FieldReader, ...]]


def reader_lines(readers: tuple[FieldReader, ...]) -> list[str]:
    """The readers in words: those that read by name, the others of each kind by their number."""
    lines = [
        f"{reader.kind:<9} {reader.how:<8} {reader.name}" for reader in readers if reader.how != "follows"
    ]
    counts = Counter(reader.kind for reader in readers if reader.how == "follows")
    if counts:
        more = ", ".join(f"{count} {kind}{'s' * (count > 1)}" for kind, count in counts.items())
        lines.append(f"{more} may have other rows then (all with --json)")
    return lines
