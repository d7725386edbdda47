"""What one run of a sync did, in counts that add up."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from activation.guards import GuardStop


@dataclass(frozen=True)
class SyncReport:
    """What one run of a sync did.

    adds + updates + removes + erases + sends
    = delivered + accepted + rejected + suppressed + deferred + in_doubt.

    `noted`: occurrences that were there before a sync of messages began. The counts of operations are those
    written as intents. `accepted` is what the destination took and has not acknowledged yet. `guards` or
    `error` say why something was left undone; `plan_id` is then the plan that waits for a person, and
    otherwise the approved one that was applied. `refused` says why a plan that was approved could not be
    applied any more. `recovered` counts operations of former runs whose outcome became known before this
    plan.
    """

    sync_name: str
    destination: str
    sync_run_id: str | None
    adds: int = 0
    updates: int = 0
    removes: int = 0
    erases: int = 0
    sends: int = 0
    noted: int = 0
    unchanged: int = 0
    invalid: Mapping[str, int] = field(default_factory=dict)
    blocked: Mapping[str, int] = field(default_factory=dict)
    held_back: Mapping[str, int] = field(default_factory=dict)
    delivered: int = 0
    accepted: int = 0
    rejected: int = 0
    suppressed: int = 0
    deferred: int = 0
    in_doubt: int = 0
    recovered: int = 0
    reasons: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    plan_hash: str = ""
    plan_id: str | None = None
    full_because: str | None = None
    guards: tuple[GuardStop, ...] = ()
    refused: str | None = None
    error: str | None = None

    @property
    def operations(self) -> int:
        """How many operations this run held."""
        return self.adds + self.updates + self.removes + self.erases + self.sends

    @property
    def is_complete(self) -> bool:
        """Whether everything that the marts want and the gate allows is at the destination now.

        Or was accepted by it: its answer comes by itself, with a later run, and nobody has to act.
        """
        return not self.guards and self.error is None and not self.deferred and not self.in_doubt

    @property
    def stopped_because(self) -> str:
        """Which guard stopped it, why, and what a person does next; empty when none did."""
        if not self.guards:
            return ""
        first, *others = self.guards
        more = f" (and {len(others)} more: {', '.join(guard.name for guard in others)})" if others else ""
        before = f"An approved plan could not be applied: {self.refused}. " if self.refused else ""
        stopped = f"{before}Guard {first.name} stopped sync {self.sync_name!r}: {first.message}{more}"
        if self.plan_id is None:
            return stopped
        return (
            f"{stopped} Look at it with `cdp sync show {self.plan_id}`; if it is right, `cdp sync approve "
            f"{self.plan_id} --reason …`, and the next run carries it out."
        )
