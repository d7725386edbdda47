"""Which fields of events each dbt model reads, column by column, from its compiled SQL.

A field is followed by value through every column made of it, and separately by rows: a model that keeps or
joins rows by a field decides which rows everything after it sees. What the SQL does not let us tell apart
counts as read: a change is rather announced to one model too many.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import Any, NamedTuple

from sqlglot import exp, parse_one
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import Scope, build_scope

from ingestion.raw_tables import RAW_TABLES

ANY_EVENT = "*"
# A path that stands for all properties at once.
WHOLE = ""


class Field(NamedTuple):
    """A property of an event by its dotted path; ANY_EVENT where the SQL does not say which."""

    event: str
    path: str

    def meets(self, event: str, paths: frozenset[str]) -> bool:
        """Whether a change of these fields of the event is one of this field; no paths mean all of them."""
        if self.event not in (ANY_EVENT, event):
            return False
        return not paths or any(_overlap(self.path, path) for path in paths)


Fields = frozenset[Field]
_NOTHING: Fields = frozenset()
# Name of a source of a select to the only events that it can give there.
_Only = Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class Column:
    """What an output column is made of."""

    fields: Fields = _NOTHING
    is_event_name: bool = False

    def joined(self, other: "Column") -> "Column":
        """The column of a union."""
        return Column(self.fields | other.fields, self.is_event_name and other.is_event_name)


@dataclass(frozen=True)
class Relation:
    """A table, view or subquery: its columns, and the fields that decide which rows it has."""

    columns: dict[str, Column] = field(default_factory=dict)
    rows: Fields = _NOTHING

    def in_its_columns(self, asked: Fields) -> "Relation":
        """The same where no row depends on it: which rows it has, and which are met, shows in its columns."""
        columns = {
            name: Column(column.fields | self.rows | asked, column.is_event_name)
            for name, column in self.columns.items()
        }
        return Relation(columns)

    def column(self, name: str) -> Column:
        """A column; one that we cannot know is made of all that the relation is made of."""
        found = self.columns.get(name)
        return found or Column(frozenset().union(*(each.fields for each in self.columns.values())))


@dataclass(frozen=True)
class ModelLineage:
    """What one model is made of; `reads` are the fields in its columns and in its own conditions."""

    name: str
    relation: Relation
    reads: Fields


def model_lineage(manifest: Mapping[str, Any]) -> dict[str, ModelLineage]:
    """Model name -> its lineage, from a manifest with compiled code, in the order of building."""
    nodes = {
        key: node
        for key, node in manifest["nodes"].items()
        if node["resource_type"] in ("model", "seed", "snapshot")
    }
    before = {
        key: [each for each in node.get("depends_on", {}).get("nodes", []) if each in nodes]
        for key, node in nodes.items()
    }
    known: dict[tuple[str, str], Relation] = {
        ("raw", table): Relation(dict.fromkeys(schema.names, Column()))
        for table, schema in RAW_TABLES.items()
    }
    known["raw", "events"].columns.update(
        event_name=Column(is_event_name=True), properties=Column(frozenset([Field(ANY_EVENT, WHOLE)]))
    )
    columns = {"raw": {table: dict.fromkeys(schema.names, "text") for table, schema in RAW_TABLES.items()}}
    found: dict[str, ModelLineage] = {}
    for key in TopologicalSorter(before).static_order():
        node = nodes[key]
        place = (node["schema"], node["name"])
        if node["resource_type"] != "model":
            known[place] = Relation()
            continue
        reader = _Reader(known, columns)
        relation = reader.read(node["compiled_code"])
        made_of = frozenset[Field]().union(*(column.fields for column in relation.columns.values()))
        known[place] = relation
        columns.setdefault(place[0], {})[place[1]] = dict.fromkeys(relation.columns, "text")
        found[node["name"]] = ModelLineage(node["name"], relation, made_of | reader.asked)
    return found


class _Reader:
    """Reads the SQL of one model."""

    def __init__(
        self, known: Mapping[tuple[str, str], Relation], columns: Mapping[str, Mapping[str, Any]]
    ) -> None:
        self._known = known
        self._columns = columns
        self._seen: dict[int, Relation] = {}
        # The fields of its conditions; what only stands in a column counts when the column comes out.
        self.asked: set[Field] = set()

    def read(self, sql: str) -> Relation:
        tree = qualify(
            parse_one(sql, dialect="duckdb"),
            dialect="duckdb",
            schema=dict(self._columns),
            validate_qualify_columns=False,
            allow_partial_qualification=True,
            quote_identifiers=False,
        )
        scope = build_scope(tree)
        return self._relation(scope) if scope else Relation()

    def _relation(self, scope: Scope) -> Relation:
        if id(scope) not in self._seen:
            self._seen[id(scope)] = self._evaluated(scope)
        return self._seen[id(scope)]

    def _evaluated(self, scope: Scope) -> Relation:
        if scope.set_operation_scopes:
            parts = [self._relation(part) for part in scope.set_operation_scopes]
            first = parts[0]
            merged = dict(first.columns)
            for part in parts[1:]:
                for name, column in zip(merged, part.columns.values(), strict=False):
                    merged[name] = merged[name].joined(column)
            return Relation(merged, frozenset().union(*(part.rows for part in parts)))
        select = scope.expression
        sources = {name: self._source(each) for name, each in scope.sources.items()}
        where = select.args.get("where")
        only = _only(where.this, sources, {}) if where else {}
        walk = _Walk(self, scope, sources)
        for name, on in _left_joins(select):
            asked = walk.fields(on, only) if on else set()
            self.asked |= asked
            sources[name] = sources[name].in_its_columns(frozenset(asked))
        rows = set[Field]().union(*(source.rows for source in sources.values()))
        for condition in _conditions(select):
            asked = walk.fields(condition, only)
            rows |= asked
            self.asked |= asked
        for subquery in scope.subquery_scopes:
            rows |= self._relation(subquery).rows
        columns = {}
        for projection in select.expressions if isinstance(select, exp.Query) else ():
            inner = projection.this if isinstance(projection, exp.Alias) else projection
            is_name = isinstance(inner, exp.Column) and walk.column(inner, only).is_event_name
            columns[projection.alias_or_name] = Column(frozenset(walk.fields(inner, only)), is_name)
        rows = set(_restricted(frozenset(rows), frozenset().union(*only.values()))) if only else rows
        return Relation(columns, frozenset(rows))

    def _source(self, source: Scope | exp.Expr) -> Relation:
        if isinstance(source, Scope):
            return self._relation(source)
        if isinstance(source, exp.Table):
            return self._known.get((source.db, source.name), Relation())
        return Relation()

    def subquery(self, scope: Scope, node: exp.Expr) -> Relation | None:
        """What a subquery inside a condition or a column gives."""
        for each in scope.subquery_scopes:
            if each.expression is node:
                return self._relation(each)
        return None


class _Walk:
    """Goes through the expressions of one select."""

    def __init__(self, reader: _Reader, scope: Scope, sources: Mapping[str, Relation]) -> None:
        self._reader = reader
        self._scope = scope
        self._sources = sources

    def column(self, column: exp.Column, only: _Only) -> Column:
        source = self._sources.get(column.table)
        if source is None:
            return Column()
        found = source.column(column.name)
        return Column(_restricted(found.fields, only.get(column.table)), found.is_event_name)

    def fields(self, node: exp.Expr, only: _Only) -> set[Field]:
        """Every field that the value of an expression is made of."""
        return set(self._fields(node, only))

    def _fields(self, node: exp.Expr, only: _Only) -> Iterator[Field]:
        if isinstance(node, exp.Column):
            yield from self.column(node, only).fields
            return
        if isinstance(node, exp.JSONExtract | exp.JSONExtractScalar) and isinstance(node.this, exp.Column):
            path = _json_path(node.expression)
            for each in self.column(node.this, only).fields:
                yield Field(each.event, path) if each.path == WHOLE else each
            return
        if isinstance(node, exp.Like) and isinstance(node.this, exp.Column):
            key = _quoted_key(node.expression)
            for each in self.column(node.this, only).fields:
                yield Field(each.event, key) if key and each.path == WHOLE else each
            return
        inner = self._reader.subquery(self._scope, node)
        if inner is not None:
            for column in inner.columns.values():
                yield from column.fields
            return
        if isinstance(node, exp.If):
            only = _only(node.this, self._sources, only)
        for child in node.iter_expressions():
            yield from self._fields(child, only)


def _conditions(select: exp.Expr) -> Iterator[exp.Expr]:
    """What decides which rows a select has."""
    for name in ("where", "group", "having", "qualify", "distinct", "limit"):
        part = select.args.get(name)
        if isinstance(part, exp.Expr):
            yield part
    for join in select.args.get("joins") or ():
        if join.side != "LEFT" and join.args.get("on") is not None:
            yield join.args["on"]


def _left_joins(select: exp.Expr) -> Iterator[tuple[str, exp.Expr | None]]:
    """The sources whose rows decide only what their own columns hold, each with its condition."""
    for join in select.args.get("joins") or ():
        if join.side == "LEFT":
            yield join.alias_or_name, join.args.get("on")


def _only(condition: exp.Expr, sources: Mapping[str, Relation], outer: _Only) -> _Only:
    """The events to which a condition limits each source, beside what limits it already."""
    found = dict(outer)
    parts = condition.flatten() if isinstance(condition, exp.And) else [condition]
    for part in parts:
        if isinstance(part, exp.EQ) and isinstance(part.expression, exp.Literal):
            column, names = part.this, [part.expression]
        elif isinstance(part, exp.In):
            column, names = part.this, list(part.expressions)
        else:
            continue
        if not isinstance(column, exp.Column) or not all(isinstance(name, exp.Literal) for name in names):
            continue
        source = sources.get(column.table)
        if source is not None and names and source.column(column.name).is_event_name:
            events = frozenset(name.this for name in names)
            found[column.table] = found.get(column.table, events) & events
    return found


def _restricted(fields: Fields, events: frozenset[str] | None) -> Fields:
    """The fields as those of these events only."""
    if events is None:
        return fields
    return frozenset(
        Field(event, each.path) if each.event == ANY_EVENT else each
        for each in fields
        for event in (events if each.event == ANY_EVENT else (each.event,))
        if event in events
    )


def _json_path(path: exp.Expr) -> str:
    """The dotted path of a JSON path without its positions in arrays."""
    return ".".join(
        part.this for part in path.find_all(exp.JSONPathKey, bfs=False) if isinstance(part.this, str)
    )


def _quoted_key(pattern: exp.Expr) -> str | None:
    """The key that a pattern such as '%"email"%' looks for in JSON text."""
    text = pattern.this if isinstance(pattern, exp.Literal) else ""
    return text[2:-2] if text.startswith('%"') and text.endswith('"%') else None


def _overlap(one: str, other: str) -> bool:
    """Whether two dotted paths are the same or one holds the other."""
    if WHOLE in (one, other):
        return True
    return one == other or one.startswith(f"{other}.") or other.startswith(f"{one}.")
