"""Seeded randomness: one independent stream per named thing, so that adding one thing changes no other."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from itertools import accumulate
from random import Random
from typing import TypeVar

T = TypeVar("T")


def stream(seed: int, replica: int, entity: str) -> Random:
    """The random stream of one entity of one replica of the company."""
    return Random(f"{seed}/{replica}/{entity}")


def pick(random: Random, choices: Sequence[T]) -> T:
    """One of the choices, each as likely."""
    return choices[int(random.random() * len(choices))]


class Weighted:
    """A draw among names by weight; weights need not add up to anything."""

    def __init__(self, **weights: float) -> None:
        self._names = tuple(weights)
        self._sums = tuple(accumulate(weights.values()))

    def draw(self, random: Random) -> str:
        """One name, as likely as its weight."""
        return self._names[bisect(self._sums, random.random() * self._sums[-1])]
