"""The points of a method at all of its weights, and equally many weights of two methods.

A method with more weights has more noisy test points, and the lower envelope of more points lies
lower where there is no difference: by hypervolume, six weights "win" against three in most studies
of ten seeds (a simulation in the tests). So of the method with more weights as many are kept as the
other has: those whose validation APs lie nearest to the other's, which test rows have no part in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from dralign.analysis.fronts import Point
from dralign.analysis.rows import Interval

Weight = TypeVar("Weight", float, tuple[float, float])  # lambda, or lambda and beta


@dataclass(frozen=True)
class Course(Generic[Weight]):
    """The points of a method at all of its weights.

    Attributes:
        validation: average precision by weight and seed, on the validation rows.
        test: (average precision, gap) by weight and seed, on the test rows.
    """

    validation: Mapping[Weight, Mapping[int, float]]
    test: Mapping[Weight, Mapping[int, Point]]

    def seeds(self) -> set[int]:
        """The seeds of any weight."""
        return {seed for points in self.test.values() for seed in points}

    def of_seeds(self, weights: Sequence[Weight]) -> dict[int, list[Point]]:
        """The test points at these weights, for each seed that has all of them."""
        each = [self.test[weight] for weight in weights]
        whole = [seed for seed in sorted(self.seeds()) if all(seed in points for points in each)]
        return {seed: [points[seed] for points in each] for seed in whole if each}


def even_weights(
    first: Course[Weight], second: Course[Weight]
) -> tuple[tuple[Weight, ...], tuple[Weight, ...]]:
    """Equally many weights of each, chosen by mean validation AP alone and in its order.

    The smaller set is paired with as many of the larger one, each with one, so that the validation
    APs of the pairs differ least in the sum. A weight without a validation AP (from 0 to 1) is left
    out.
    """
    from scipy.optimize import linear_sum_assignment

    sides = [
        sorted(
            (mean, weight)
            for weight, by_seed in course.validation.items()
            if 0 <= (mean := Interval.of(by_seed.values()).mean) <= 1
        )
        for course in (first, second)
    ]
    costs = [[abs(ours - theirs) for theirs, _ in sides[1]] for ours, _ in sides[0]]
    paired = linear_sum_assignment(costs) if costs else ((), ())
    ours, theirs = (
        tuple(side[index][1] for index in sorted(chosen))
        for side, chosen in zip(sides, paired, strict=True)
    )
    return ours, theirs
