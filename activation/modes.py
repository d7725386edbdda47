"""What a sync's mode does with each key: one that is new, that changed, that left the source, or opted out.

Whoever opts out is taken away from a destination in every mode that brings people there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from activation.adapters.base import OperationKind

ADD, UPDATE, REMOVE, ERASE, SEND = (
    OperationKind.ADD,
    OperationKind.UPDATE,
    OperationKind.REMOVE,
    OperationKind.ERASE,
    OperationKind.SEND,
)


@dataclass(frozen=True)
class Mode:
    """One way to keep a destination, as data for the planner; None means that nothing is done.

    `on_left` is for keys that the destination acknowledged and the source no longer has. `forgets_left`:
    those keys are dropped from the acknowledged state without an operation, so that they count as new when
    they come back. `takes_all`: members of the destination that we never brought there are removed too.
    """

    name: str
    meaning: str
    on_new: OperationKind | None = None
    on_changed: OperationKind | None = None
    on_left: OperationKind | None = None
    on_opt_out: OperationKind | None = REMOVE
    forgets_left: bool = False
    takes_all: bool = False
    has_fields: bool = True

    @property
    def operations(self) -> frozenset[OperationKind]:
        """What a destination must be able to do for this mode."""
        wanted = (self.on_new, self.on_changed, self.on_left, self.on_opt_out)
        return frozenset(kind for kind in wanted if kind is not None)

    def holds_after(self, kind: OperationKind) -> bool:
        """Whether the acknowledged state has the key once an operation of that kind was delivered."""
        return kind is self.on_new or kind is self.on_changed


_ALL = (
    Mode("insert", "new keys are added, and never changed", on_new=ADD),
    Mode(
        "update",
        "keys that the destination has are changed, none is added or removed",
        on_new=UPDATE,
        on_changed=UPDATE,
        on_opt_out=None,
    ),
    Mode(
        "upsert", "new keys are added, changed ones updated, none is removed", on_new=ADD, on_changed=UPDATE
    ),
    Mode(
        "mirror",
        "the destination has what the source has, of the keys that this sync brought",
        on_new=ADD,
        on_changed=UPDATE,
        on_left=REMOVE,
    ),
    Mode(
        "mirror_exclusive",
        "the destination has what the source has and nothing else, whoever brought it",
        on_new=ADD,
        on_changed=UPDATE,
        on_left=REMOVE,
        takes_all=True,
    ),
    Mode("list_add", "keys are put on a list, without fields", on_new=ADD, has_fields=False),
    Mode(
        "list_remove",
        "keys are taken off a list, as often as they come",
        on_new=REMOVE,
        on_opt_out=None,
        forgets_left=True,
        has_fields=False,
    ),
    Mode(
        "delete",
        "the record of each key is deleted, as often as it comes",
        on_new=ERASE,
        on_opt_out=None,
        forgets_left=True,
        has_fields=False,
    ),
    Mode("append", "one message for each occurrence key", on_new=SEND, on_opt_out=None),
)
MODES: Mapping[str, Mode] = MappingProxyType({mode.name: mode for mode in _ALL})
