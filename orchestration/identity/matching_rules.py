"""matching_rules.yml, read without guessing: what is wrong is said by key, before anything is compared."""

import hashlib
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from ingestion.sources.sfmc_files import Trait as ProfileTrait
from ingestion.yaml_files import Declared, parse, read_text

MATCHING_RULES_FILE = Path(__file__).parent / "matching_rules.yml"
Trait = Literal[ProfileTrait, "email"]
TRAITS: tuple[Trait, ...] = get_args(Trait)
Share = Annotated[float, Field(gt=0, le=1)]


class Comparison(Declared):
    """How one trait of two profiles is compared."""

    trait: Trait
    kind: Literal["name", "date", "home", "text", "email", "exact"] = Field(alias="as")
    swapped_with: Trait | None = None
    within: tuple[Trait, ...] = ()

    @property
    def name(self) -> str:
        """What is compared, in one word."""
        return self.kind if self.kind == "home" else self.trait

    @property
    def traits(self) -> tuple[str, ...]:
        """Every trait that is compared by it, the finest first."""
        return (self.trait, *self.within)

    @model_validator(mode="after")
    def _fits_its_kind(self) -> "Comparison":
        if self.swapped_with is not None and (self.kind != "name" or self.swapped_with == self.trait):
            raise ValueError("`swapped_with` names another trait, of a comparison as name")
        if self.kind == "home" and (
            self.trait != "street" or not self.within or {*self.within} - {"postal_code", "city"}
        ):
            raise ValueError("a comparison as home is of street, within postal_code or city or both")
        if self.within and self.kind != "home":
            raise ValueError("`within` belongs to a comparison as home")
        return self


class SameTraits(Declared):
    """Pairs that have all of these traits alike, or their first letters."""

    traits: Annotated[tuple[Trait, ...], Field(min_length=1)]
    start: Annotated[int, Field(ge=1)] | None = None


class Known(Declared):
    """Pairs that are surely one person's, and the share that they are of all such pairs."""

    rules: Annotated[tuple[SameTraits, ...], Field(min_length=1)]
    share: Share


class MatchingRules(Declared):
    """The whole of the file; a trait that a rule names must be compared or at least be one."""

    least_score: Annotated[float, Field(ge=0.5, lt=1)]
    least_profiles: Annotated[int, Field(ge=2)]
    comparisons: Annotated[tuple[Comparison, ...], Field(min_length=2)]
    blocking: Annotated[tuple[SameTraits, ...], Field(min_length=1)]
    training: Annotated[tuple[SameTraits, ...], Field(min_length=2)]
    known: Known

    @model_validator(mode="after")
    def _every_trait_is_learned(self) -> "MatchingRules":
        names = [trait for comparison in self.comparisons for trait in comparison.traits]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"comparisons compares {name} twice; keep one of them")
            if all(name in rule.traits for rule in self.training):
                raise ValueError(
                    f"training has {name} in every rule, so nothing could be learned about it; "
                    "leave it out of one"
                )
        return self

    @property
    def rules_hash(self) -> str:
        """The name of these rules: another hash, another opinion."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]


def read_matching_rules(path: Path = MATCHING_RULES_FILE) -> MatchingRules:
    """The rules of a file once they are sound; raises ContractError by file and key."""
    return parse(path.name, read_text(path), MatchingRules)
