"""Who is one person, by the textbook: union-find, one link at a time, with the limits as they stand.

The reference for the set-based resolution in `dbt_project/macros/identity/`. It shares no code with it and is
written to be read, not to be fast.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

OPERATOR, EXACT, STRICT, LOOSE = range(4)
NEVER, EVER = datetime(1900, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Node:
    """An identifier, when it was received, and between which moments it was seen."""

    kind: str
    received_at: datetime
    first_seen_at: datetime | None
    last_seen_at: datetime | None


@dataclass(frozen=True)
class Link:
    """Evidence that two identifiers are one person."""

    from_key: str
    to_key: str
    tier: int
    first_seen_at: datetime | None

    @property
    def order(self) -> tuple[object, ...]:
        """Strongest first: by tier, earliest first, keyed hashes. An operator's, newest first, last."""
        seen = self.first_seen_at or EVER
        is_operator = self.tier == OPERATOR
        return (
            is_operator,
            self.tier,
            -seen.timestamp() if is_operator else 0.0,
            seen,
            *sorted((self.from_key, self.to_key)),
        )


@dataclass(frozen=True)
class Limit:
    """At most so many of a type in one person, at any time or within a window."""

    most: int
    within_days: int | None = None


@dataclass(frozen=True)
class Rules:
    """Types, strongest first; limits per person; guards."""

    kinds: tuple[str, ...]
    limits: Mapping[str, Limit] = field(default_factory=dict)
    most_identifiers: int = 600
    least_loose_links: int = 2

    def as_variable(self) -> dict[str, object]:
        """The same rules as identity_rules.yml would say them."""
        return {
            "identifier_types": {
                kind: {
                    "kind": "mergeable",
                    "priority": number,
                    "per_person": {
                        "most": self.limits[kind].most,
                        "within_days": self.limits[kind].within_days,
                    }
                    if kind in self.limits
                    else {},
                }
                for number, kind in enumerate(self.kinds, start=1)
            },
            "guards": {
                "most_identifiers": self.most_identifiers,
                "least_loose_links": self.least_loose_links,
            },
        }


class Parts:
    """Union-find that knows the members of every part."""

    def __init__(self, nodes: Iterable[str]) -> None:
        self.part = {node: node for node in nodes}
        self.members = {node: {node} for node in self.part}

    def join(self, a: str, b: str) -> None:
        a, b = self.part[a], self.part[b]
        if a == b:
            return
        if len(self.members[a]) < len(self.members[b]):
            a, b = b, a
        for node in self.members[b]:
            self.part[node] = a
        self.members[a] |= self.members.pop(b)

    def of(self, node: str) -> set[str]:
        return self.members[self.part[node]]


def resolve(
    nodes: Mapping[str, Node], links: Iterable[Link], kept_apart: Iterable[tuple[str, str]], rules: Rules
) -> dict[str, tuple[str, str]]:
    """Node to (component, tier), as the materialization promises them."""
    links = [link for link in links if link.from_key != link.to_key]
    whole = Parts(nodes)
    for link in links:
        whole.join(link.from_key, link.to_key)
    by_component = defaultdict(list)
    for link in sorted(links, key=lambda each: each.order):
        by_component[whole.part[link.from_key]].append(link)
    apart = [frozenset(pair) for pair in kept_apart]

    exact, strict, final = Parts(nodes), Parts(nodes), Parts(nodes)
    for component, every in by_component.items():
        ordered = longest_run_within_size(whole.members[component], every, rules.most_identifiers)
        seen_together = [link for link in ordered if link.tier in (EXACT, STRICT)]
        for link in seen_together:
            takes(link, final, nodes, apart, rules)
        # between two people of more than one identifier, a few suspicions are not enough
        before = {node: final.part[node] for node in whole.members[component]}
        sizes = Counter(before.values())
        loose = [link for link in ordered if link.tier == LOOSE]
        ends = [(before[link.from_key], before[link.to_key]) for link in loose]
        bridges = Counter(frozenset(pair) for pair in ends)
        for link, pair in zip(loose, ends, strict=True):
            if bridges[frozenset(pair)] >= rules.least_loose_links or min(sizes[end] for end in pair) == 1:
                takes(link, final, nodes, apart, rules)
        for link in ordered:
            if link.tier == OPERATOR:
                takes(link, final, nodes, apart, rules)
        # how surely: by the links within a person, up to each tier
        for link in ordered:
            if final.part[link.from_key] == final.part[link.to_key] and link.tier <= STRICT:
                strict.join(link.from_key, link.to_key)
                if link.tier <= EXACT:
                    exact.join(link.from_key, link.to_key)
    heads = {part: heads_of(members, nodes, rules) for part, members in final.members.items()}
    return {
        node: (heads[final.part[node]][0], tier_of(node, heads[final.part[node]][1], exact, strict))
        for node in nodes
    }


def longest_run_within_size(members: Iterable[str], ordered: list[Link], most: int) -> list[Link]:
    """The links until the first that makes a part too large, in steps of one in 256; all when none does."""
    parts = Parts(members)
    step = math.ceil(len(ordered) / 256)
    for position, link in enumerate(ordered):
        parts.join(link.from_key, link.to_key)
        if len(parts.of(link.from_key)) > most:
            return ordered[: position // step * step]
    return ordered


def takes(
    link: Link, parts: Parts, nodes: Mapping[str, Node], apart: list[frozenset[str]], rules: Rules
) -> bool:
    """Join the two ends unless a rule is against it."""
    left, right = parts.of(link.from_key), parts.of(link.to_key)
    if left is right:
        return False
    if any(pair & left and pair & right for pair in apart):
        return False
    if link.tier != OPERATOR and any(
        breaks(
            limit,
            [nodes[n] for n in left if nodes[n].kind == kind],
            [nodes[n] for n in right if nodes[n].kind == kind],
        )
        for kind, limit in rules.limits.items()
    ):
        return False
    parts.join(link.from_key, link.to_key)
    return True


def breaks(limit: Limit, left: list[Node], right: list[Node]) -> bool:
    if not left or not right or len(left) + len(right) <= limit.most:
        return False
    if limit.within_days is None:
        return True
    window = timedelta(days=limit.within_days)
    spans = [(n.first_seen_at or NEVER, (n.last_seen_at or EVER) + window) for n in left + right]
    return any(sum(start <= moment <= end for start, end in spans) > limit.most for moment, _ in spans)


def heads_of(members: Iterable[str], nodes: Mapping[str, Node], rules: Rules) -> tuple[str, str]:
    """The founder of a component, received first, and its anchor, the strongest."""
    strength = {each: rules.kinds.index(nodes[each].kind) for each in members}
    founder = min(strength, key=lambda each: (nodes[each].received_at, strength[each], each))
    anchor = min(strength, key=lambda each: (strength[each], nodes[each].received_at, each))
    return founder, anchor


def tier_of(node: str, anchor: str, exact: Parts, strict: Parts) -> str:
    if exact.part[node] == exact.part[anchor]:
        return "exact"
    return "strict" if strict.part[node] == strict.part[anchor] else "loose"
