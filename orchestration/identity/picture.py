"""A person's identifiers and the evidence between them, as one SVG picture that needs nothing else."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from orchestration.identity.paths import Edge, layers_from

COLOURS = {"operator": "#6b21a8", "exact": "#166534", "strict": "#1d4ed8", "loose": "#b45309"}
BOX_WIDTH, BOX_HEIGHT = 240, 46
BOW, LEAST_WIDTH = 40, 720
TITLE_LETTER = 10  # at most, in pixels
GAP_X, GAP_Y, TOP = 110, 16, 74
MOST_DRAWN = 60
MOST_CHARACTERS = 27


def draw_person(
    title: str,
    nodes: Sequence[Mapping[str, Any]],
    edges: Sequence[Edge],
    *,
    start: str,
    path: Sequence[Edge],
) -> str:
    """The SVG: `start` at the left, every other identifier by its distance from it, the path emphasised.

    `nodes` are rows of identity_person_nodes.sql, `edges` of person_edges.sql, of one person or of two; of
    two also of identity_held.sql, and these are dashed. At most MOST_DRAWN identifiers are drawn, those of
    the path always among them.
    """
    on_path = {start} | {str(edge[end]) for edge in path for end in ("from_key", "to_key")}
    known = {str(node["identifier_key"]): node for node in nodes}
    layers = layers_from(edges, start, list(known))
    drawn: dict[str, tuple[int, int]] = {}
    for column, layer in enumerate(layers):
        row = 0
        for key in sorted(layer, key=lambda each: (each not in on_path, each)):
            if key in known and (key in on_path or len(drawn) < MOST_DRAWN):
                drawn[key] = (20 + column * (BOX_WIDTH + GAP_X), TOP + row * (BOX_HEIGHT + GAP_Y))
                row += 1
    path_pairs = {frozenset((edge["from_key"], edge["to_key"])) for edge in path}
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("picture.svg.j2").render(
        title=title,
        width=max(
            LEAST_WIDTH,
            40 + TITLE_LETTER * len(title),
            max(x for x, _ in drawn.values()) + BOX_WIDTH + BOW + 20,
        ),
        height=max(y for _, y in drawn.values()) + BOX_HEIGHT + 36,
        colours=COLOURS,
        legend=[tier for tier in COLOURS if any(edge["tier"] == tier for edge in edges)],
        box_width=BOX_WIDTH,
        box_height=BOX_HEIGHT,
        boxes=[_box(known[key], place, key in on_path) for key, place in drawn.items()],
        lines=[
            _line(edge, drawn, frozenset((edge["from_key"], edge["to_key"])) in path_pairs)
            for edge in edges
            if edge["from_key"] in drawn and edge["to_key"] in drawn
        ],
        left_out=len(known) - len(drawn),
    )


def _box(node: Mapping[str, Any], place: tuple[int, int], is_on_path: bool) -> dict[str, Any]:
    value = str(node["identifier_value"])
    return {
        "type": node["identifier_type"],
        "value": value,
        "shown": value if len(value) <= MOST_CHARACTERS else value[: MOST_CHARACTERS - 1] + "…",
        "tier": node["identity_tier"],
        "x": place[0],
        "y": place[1],
        "is_on_path": is_on_path,
    }


def _line(edge: Edge, drawn: Mapping[str, tuple[int, int]], is_on_path: bool) -> dict[str, Any]:
    (left_x, left_y), (right_x, right_y) = sorted((drawn[edge["from_key"]], drawn[edge["to_key"]]))
    half = BOX_HEIGHT // 2
    if left_x == right_x:
        # both in one column: a bow beside it
        x, bow = left_x + BOX_WIDTH, left_x + BOX_WIDTH + BOW
        d = f"M{x} {left_y + half} C{bow} {left_y + half} {bow} {right_y + half} {x} {right_y + half}"
    else:
        x, middle = left_x + BOX_WIDTH, (left_x + BOX_WIDTH + right_x) // 2
        bend = f"{middle} {left_y + half} {middle} {right_y + half}"
        d = f"M{x} {left_y + half} C{bend} {right_x} {right_y + half}"
    return {
        "d": d,
        "tier": edge["tier"],
        "is_on_path": is_on_path,
        # what joined nobody: held, or only suspected
        "is_dashed": edge["tier"] == "loose" or "reason" in edge or edge.get("score") is not None,
        "title": _told(edge),
    }


def _told(edge: Edge) -> str:
    if edge.get("score") is not None:
        return f"suspected, score {edge['score']:.4f}, since {edge['first_seen_at']}: {edge['evidence_id']}"
    return (
        f"{edge['tier']}, {edge['source_system']}, {edge['observation_count']} times, "
        f"first {edge['first_seen_at']}, e.g. {edge['evidence_id']}"
    )
