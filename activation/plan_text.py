"""A plan as a person reads it: counts, samples, what it costs, who is held back, and what stops it."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import orjson

from activation.planner import Plan, mask
from activation.plans import OPEN, StoredPlan

VERBS = (
    ("adds", "add"),
    ("updates", "update"),
    ("removes", "remove"),
    ("erases", "erase"),
    ("sends", "send"),
)

SHOWN = {False: ("add", "update", "remove"), True: ("send",)}  # by whether the mode sends messages


def plan_lines(plan: Mapping[str, Any]) -> Iterator[str]:
    """The lines of a plan, given as the dictionary that --json prints."""
    yield f"{plan['sync_name']}: {plan['source']} -> {plan['destination']}, {plan['mode']}"
    for counted, kind in VERBS:
        if plan[counted] or kind in SHOWN[plan["mode"] == "append"]:
            opted_out = (
                f"  ({plan['opt_outs']:,} of them opted out)" if kind == "remove" and plan["opt_outs"] else ""
            )
            foreign = (
                f"  ({plan['foreigners']:,} of them brought by somebody else)"
                if kind == "remove" and plan["foreigners"]
                else ""
            )
            samples = "  ".join(plan["samples"].get(kind, ()))
            yield f"  {plan[counted]:>9,} to {kind:<8} {samples}".rstrip() + opted_out + foreign
    yield f"  {plan['unchanged']:>9,} {'done before' if plan['mode'] == 'append' else 'unchanged'}"
    if plan["noted"]:
        yield f"  {plan['noted']:>9,} there before the sync began: noted, and nothing is sent"
    if plan["forgotten"] and plan["mode"] == "append":
        yield f"  {plan['forgotten']:>9,} left, and get the message again if they come back"
    for title, name in (
        ("invalid", "invalid"),
        ("not planned", "blocked"),
        ("kept out of the source", "held_back"),
    ):
        for reason, count in plan[name].items():
            yield f"  {count:>9,} {title}: {reason}"
    yield f"  {_effort(plan)}"
    if plan["full_because"]:
        yield f"  full, because {plan['full_because']}"
    for guard in plan["guards"]:
        yield f"  stopped by guard {guard['name']}: {guard['message']}"


def _effort(plan: Mapping[str, Any]) -> str:
    least = timedelta(seconds=round(plan["seconds"]))
    cost = "" if plan["cost"] is None else f", {plan['cost']:,.2f} {plan['currency']}"
    return f"{plan['api_calls']:,} requests, at least {least}{cost}"


def diff_lines(
    plan: Plan, rows: Iterator[tuple[str, str, str | None]], held: Mapping[str, str]
) -> Iterator[str]:
    """What would change for a few keys, field by field, each value masked.

    `rows`: operation, key, payload; `held`: what the destination holds now, where it can be read.
    """
    for operation, key, payload in rows:
        yield f"  {operation} {mask(key)}"
        wanted = {} if payload is None else orjson.loads(payload)
        before = orjson.loads(held[key]) if key in held else {}
        for field in sorted(wanted.keys() | before.keys()):
            if field in wanted and field in before and wanted[field] == before[field]:
                continue
            if operation in ("remove", "erase") or field in wanted:
                was = masked(before[field]) if field in before else "-"
                becomes = masked(wanted[field]) if field in wanted else "-"
                yield f"      {field}: {was} -> {becomes}"
    if not plan.operations:
        yield "  nothing would change"


def masked(value: object) -> str:
    """A value of a person's that can be recognised by who knows it, and by nobody else."""
    if value is None or isinstance(value, bool):
        return orjson.dumps(value).decode()
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    if not text:
        return '""'
    return mask(text) if "@" in text else f"{text[:1]}***"


def stored_lines(stored: StoredPlan) -> Iterator[str]:
    """Whose plan it is, how it stands, and what can be done with it."""
    yield f"plan {stored.plan_id}: {stored.state}{f' ({stored.state_reason})' if stored.state_reason else ''}"
    yield f"  planned by {stored.planned_by} at {stored.planned_at:%Y-%m-%d %H:%M} UTC"
    if stored.approved_at is not None:
        yield (
            f"  approved by {stored.approved_by} at {stored.approved_at:%Y-%m-%d %H:%M} UTC: "
            f"{stored.approval_reason}"
        )
    if stored.state == OPEN and stored.guard_names:
        yield f"  to approve it: cdp sync approve {stored.plan_id} --reason …"
    elif stored.state in (OPEN, "approved"):
        yield f"  to carry it out: cdp sync apply {stored.plan_id} --yes"
