"""The way of evidence: the surest first, then the shortest."""

from orchestration.identity.paths import layers_from, surest_path


def edge(a: str, b: str, tier: str = "exact", evidence: str = "e") -> dict[str, str]:
    return {"from_key": a, "to_key": b, "tier": tier, "evidence_id": evidence}


def test_a_longer_way_over_surer_links_is_preferred() -> None:
    direct = edge("a", "c", "loose")
    around = [edge("a", "b"), edge("c", "b", "strict")]
    assert surest_path([direct, *around], "a", "c") == around


def test_of_equally_sure_ways_the_shortest_is_taken() -> None:
    direct = edge("a", "c", "strict")
    assert surest_path([edge("a", "b", "strict"), edge("b", "c", "exact"), direct], "c", "a") == [direct]


def test_of_several_sources_the_surest_is_named() -> None:
    sure = edge("b", "a", "exact", "sure")
    assert surest_path([edge("a", "b", "loose", "guess"), sure], "a", "b") == [sure]


def test_there_may_be_no_way_and_no_way_is_needed_to_oneself() -> None:
    assert surest_path([edge("a", "b")], "a", "z") is None
    assert surest_path([], "a", "a") == []


def test_layers_go_by_distance_and_what_cannot_be_reached_comes_last() -> None:
    edges = [edge("a", "b"), edge("b", "c"), edge("a", "d")]
    assert layers_from(edges, "a", ["a", "b", "c", "d", "x"]) == [["a"], ["b", "d"], ["c"], ["x"]]
