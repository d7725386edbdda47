"""The way of evidence between two identifiers of one person: the surest one, and of those the shortest."""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

SURENESS = {"operator": 0, "exact": 1, "strict": 2, "loose": 3}
Edge = Mapping[str, Any]


def surest_path(edges: Iterable[Edge], start: str, goal: str) -> list[Edge] | None:
    """The edges from one key to another: with the weakest link as sure as can be, then as few as can be.

    None when no edges lead there. An edge has from_key, to_key and tier.
    """
    best = _surest_edges(edges)
    neighbours = defaultdict(list)
    for (a, b), edge in best.items():
        neighbours[a].append((b, edge))
        neighbours[b].append((a, edge))
    queue: list[tuple[int, int, str]] = [(0, 0, start)]
    came: dict[str, tuple[str, Edge] | None] = {start: None}
    cost = {start: (0, 0)}
    while queue:
        weakest, steps, here = heapq.heappop(queue)
        if here == goal:
            return _walked(came, goal)
        if (weakest, steps) > cost[here]:
            continue
        for there, edge in neighbours[here]:
            to_there = (max(weakest, SURENESS[edge["tier"]]), steps + 1)
            if there not in cost or to_there < cost[there]:
                cost[there] = to_there
                came[there] = (here, edge)
                heapq.heappush(queue, (*to_there, there))
    return None


def _surest_edges(edges: Iterable[Edge]) -> dict[tuple[str, str], Edge]:
    """One edge a pair: the surest, the one given first among equals."""
    best: dict[tuple[str, str], Edge] = {}
    for edge in edges:
        a, b = sorted((str(edge["from_key"]), str(edge["to_key"])))
        if (a, b) not in best or SURENESS[edge["tier"]] < SURENESS[best[(a, b)]["tier"]]:
            best[(a, b)] = edge
    return best


def _walked(came: Mapping[str, tuple[str, Edge] | None], goal: str) -> list[Edge]:
    path: list[Edge] = []
    step = came[goal]
    while step is not None:
        path.append(step[1])
        step = came[step[0]]
    return path[::-1]


def layers_from(edges: Iterable[Edge], start: str, keys: Sequence[str]) -> list[list[str]]:
    """The keys by their distance from the start, in links; what cannot be reached comes last."""
    neighbours = defaultdict(set)
    for edge in edges:
        neighbours[str(edge["from_key"])].add(str(edge["to_key"]))
        neighbours[str(edge["to_key"])].add(str(edge["from_key"]))
    found, layers, frontier = {start}, [[start]], [start]
    while frontier:
        frontier = sorted({there for here in frontier for there in neighbours[here]} - found)
        if frontier:
            layers.append(frontier)
            found |= set(frontier)
    rest = [key for key in keys if key not in found]
    return [*layers, rest] if rest else layers
