"""What each mode leaves at the destination: whatever the sources were, applying the plans gives it."""

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from activation.modes import MODES
from tests.activation.warehouse import Person, withdraw
from tests.activation.world import World, open_world, people

BRINGS = ("insert", "upsert", "mirror", "mirror_exclusive", "list_add")
TAKES = ("list_remove", "delete")
NAMES = ("ann", "bob", "cid", "dan")
# key -> country of everybody in the source at one moment, and who has opted out by then
Moment = tuple[dict[str, str], frozenset[str]]


def in_mode(world: World, mode: str) -> None:
    """Let the sync to the sandbox be of this mode; modes without fields map the key alone."""
    file = world.folder / "syncs" / "to_sandbox.yml"
    text = file.read_text().replace("mode: mirror", f"mode: {mode}")
    if not MODES[mode].has_fields:
        lines = text.splitlines()
        start = lines.index("mapping:")
        text = "\n".join(lines[: start + 2] + lines[start + 5 :])
    file.write_text(text.replace("max_removed: 10", "max_removed: 1000"))


def seed(world: World, **fields: str) -> None:
    """Members that somebody else brought to the list."""
    for name, country in fields.items():
        world.sandbox.store.query(
            "insert into members values ('to_sandbox', ?, ?, 0)",
            [f"{name}@example.com", f'{{"country":"{country}"}}'],
        )


def held(world: World) -> dict[str, str]:
    """Name -> country of everybody on the list."""
    return {
        key.partition("@")[0]: json.loads(fields).get("country", "")
        for key, fields in world.sandbox.store.members("to_sandbox")
    }


def expected(mode: str, before: dict[str, str], moments: Sequence[Moment]) -> dict[str, str]:
    """The list after all moments, by what each mode means; a plain program that knows nothing of ours."""
    state, ours, done = dict(before), set[str](), set[str]()
    for members, opted_out in moments:
        source = {name: country for name, country in members.items() if name not in opted_out}
        mirrors = mode.startswith("mirror")
        for name in {name for name in ours if name not in source and (mirrors or name in opted_out)}:
            state.pop(name, None)
            ours.discard(name)
        if mode == "mirror_exclusive":
            state = {name: country for name, country in state.items() if name in source}
        for name, country in source.items():
            if mode in TAKES and name not in done:
                state.pop(name, None)
            elif mode == "update" and name in state:
                state[name] = country
            elif mode in BRINGS and (mode != "insert" or name not in state):
                state[name] = state.get(name, "") if mode == "list_add" else country
                ours.add(name)
        done = set(source)
    return state


moments = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from(NAMES), st.sampled_from(("GB", "FR")), max_size=4),
        st.frozensets(st.sampled_from(NAMES), max_size=1),
    ),
    min_size=1,
    max_size=4,
)

OFTEN = {"mirror", "list_remove"}
TRIED = [
    pytest.param(mode, marks=() if mode in OFTEN else pytest.mark.slow)
    for mode in sorted(MODES.keys() - {"append"})
]


@pytest.mark.parametrize("mode", TRIED)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=st.dictionaries(st.sampled_from(NAMES), st.just("XX"), max_size=2), moments=moments)
def test_after_every_run_the_destination_has_what_the_mode_promises(
    mode: str, before: dict[str, str], moments: list[Moment]
) -> None:
    """I5. Who once opted out stays so, as a withdrawal that is never taken back."""
    with TemporaryDirectory() as folder, open_world(Path(folder)) as world:
        in_mode(world, mode)
        seed(world, **before)
        gone = frozenset[str]()
        told: list[Moment] = []
        for source, opted_out in moments:
            for name in opted_out - gone:
                withdraw(world.warehouse, f"{name}@example.com")
            gone |= opted_out
            told.append((source, gone))
            world.members(
                *(Person(name, country=country) for name, country in source.items() if name not in gone)
            )
            world.run(approve=True)

            assert held(world) == expected(mode, before, told)
        assert world.run(approve=True).operations == 0


def test_a_deleted_record_leaves_every_list(world: World) -> None:
    in_mode(world, "delete")
    world.sandbox.store.query("insert into members values ('another', 'ann@example.com', '{}', 0)")
    world.members(*people("ann"))

    report = world.run()

    assert (report.erases, report.delivered, world.at_sandbox("another")) == (1, 1, set())


def test_who_comes_back_to_a_source_of_removals_is_removed_again(world: World) -> None:
    in_mode(world, "list_remove")
    for is_there in (True, True, False, True):
        seed(world, **({"ann": "GB"} if not world.at_sandbox() else {}))
        world.members(*people(*(["ann"] if is_there else [])))
        world.run()

    assert world.effects() == [("remove", "ann@example.com")] * 2


def test_what_an_exclusive_mirror_takes_away_is_counted_and_guarded(world: World) -> None:
    in_mode(world, "mirror_exclusive")
    file = world.folder / "syncs" / "to_sandbox.yml"
    file.write_text(file.read_text().replace("max_removed: 1000", "max_removed: 1"))
    seed(world, zoe="XX", yan="XX")
    world.members(*people("ann"))

    stopped = world.run()
    done = world.run(approve=True)

    assert "it would remove 2 of 0 members" in stopped.stopped_because
    assert (done.removes, world.at_sandbox()) == (2, {"ann@example.com"})
