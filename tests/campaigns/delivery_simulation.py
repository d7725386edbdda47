"""Plays thousands of seeded stories of delivery on virtual time, and lets a judge beside the ledger count.

python -m tests.campaigns.delivery_simulation [--kinds …] [--seeds N] [--first N] [--minutes M] [--json]

Each seed is one story: up to three workers at once on one SQLite ledger, and more that come later. Whoever
goes on next at each point of the engine and around each transaction is drawn; so are crashes, pauses longer
than a lease, clocks that jump by an hour, answers that get lost or come late, withdrawals, routes, freezes,
and builds of the marts that are loaded out of order. A story depends on nothing but its seed; one that fails
is printed with the command that plays it again. The ledger is in memory where that is possible: no power cut
is simulated.
"""

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, wait

from tests.campaigns.simulation.destination import KINDS
from tests.campaigns.simulation.house import play
from tests.campaigns.simulation.judge import Tally

CHUNK = 20
Verdict = dict[str, Tally]
ROWS = (
    "intents", "done", "lost", "done_twice", "called_done", "unexpected", "recovered", "in_doubt",
    "done_in_doubt",
)  # fmt: skip
NAMES = {
    "called_done": "called done and not so",
    "done_twice": "done twice",
    "in_doubt": "in doubt for good, listed",
    "done_in_doubt": "  of those done",
}
COUNTS = (
    "requests", "faults", "claims", "reclaims", "sent again", "late answers", "crashes", "pauses",
    "clock jumps", "withdrawals", "pairs of a withdrawal and a later claim", "route switches",
    "left to the former platform", "freezes", "plans that were outdated", "runs carried on",
    "closed because denied",
)  # fmt: skip


def play_some(kind: str, seeds: range) -> tuple[Tally, list[str]]:
    """The sum over these seeds, and a line for each that failed."""
    total, failed = Tally(), []
    for seed in seeds:
        tally = play(seed, kind)
        total.add(tally)
        if not tally.is_right:
            failed.append(describe(kind, seed, tally))
    return total, failed


def describe(kind: str, seed: int, tally: Tally) -> str:
    """What went wrong with a seed, and how to see it again."""
    counts = {name: getattr(tally, name) for name in ("lost", "done_twice", "called_done", "unexpected")}
    found = [f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if count]
    found += sorted(set(tally.violations))
    return (
        f"seed {seed}, {kind}: {'; '.join(found)}. Play it again: "
        f"python -m tests.campaigns.delivery_simulation --kinds {kind} --first {seed} --seeds 1"
    )


def run_campaign(
    kinds: list[str], *, first: int, seeds: int, minutes: float | None, processes: int
) -> tuple[Verdict, dict[str, int], list[str]]:
    """Tallies and seeds played of each kind, and the failures; stops when the time is over."""
    until = None if minutes is None else time.monotonic() + 60 * minutes
    totals, played, failed = {kind: Tally() for kind in kinds}, dict.fromkeys(kinds, 0), []
    chunks = _chunks(kinds, first, seeds)
    running: dict[Future[tuple[Tally, list[str]]], tuple[str, range]] = {}
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        while True:
            while len(running) < processes and (until is None or time.monotonic() < until):
                chunk = next(chunks, None)
                if chunk is None:
                    break
                running[pool.submit(play_some, *chunk)] = chunk
            if not running:
                return totals, played, failed
            for done in wait(running, return_when="FIRST_COMPLETED").done:
                kind, some = running.pop(done)
                tally, lines = done.result()
                totals[kind].add(tally)
                played[kind] += len(some)
                failed += lines


def _chunks(kinds: list[str], first: int, seeds: int) -> Iterator[tuple[str, range]]:
    """All kinds in turn, so that a campaign that is cut short has seen each of them."""
    for start in range(first, first + seeds, CHUNK):
        for kind in kinds:
            yield kind, range(start, min(start + CHUNK, first + seeds))


def table(totals: Verdict, played: dict[str, int]) -> str:
    """One column for each kind of destination."""
    width = max(12, *(len(kind) + 2 for kind in totals))
    lines = [f"{'':40}" + "".join(f"{kind:>{width}}" for kind in totals)]
    rows = [("seeds", [played[kind] for kind in totals])]
    rows += [(NAMES.get(name, name), [getattr(tally, name) for tally in totals.values()]) for name in ROWS]
    rows += [("violations", [len(tally.violations) for tally in totals.values()])]
    rows += [(name, [tally.counts[name] for tally in totals.values()]) for name in COUNTS]
    lines += [f"{name:40}" + "".join(f"{value:>{width},}" for value in values) for name, values in rows]
    return "\n".join(lines)


def main() -> None:
    """Play the seeds asked for; exit code 1 when one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=2_500, help="of each kind")
    parser.add_argument("--minutes", type=float, help="begin no further seeds after so long")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    began = time.monotonic()
    totals, played, failed = run_campaign(
        given.kinds,
        first=given.first,
        seeds=given.seeds,
        minutes=given.minutes,
        processes=given.processes,
    )
    if given.json:
        found = {kind: {**vars(tally), "seeds": played[kind]} for kind, tally in totals.items()}
        sys.stdout.write(json.dumps(found) + "\n")
    else:
        seconds = time.monotonic() - began
        speed = f"{sum(played.values()) * 60 / seconds:,.0f} seeds a minute"
        sys.stdout.write(f"{table(totals, played)}\n{seconds:,.0f} seconds, {speed}\n")
    for line in failed[:20]:
        sys.stderr.write(line + "\n")
    if failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
