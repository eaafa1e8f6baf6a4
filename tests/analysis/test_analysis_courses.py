"""Equally many weights of two methods, chosen on validation rows alone."""

from itertools import combinations

import numpy as np
import pytest

from dralign.analysis.courses import Course, even_weights


def course(validation):
    """A course of one seed by its validation APs; test rows say nothing."""
    return Course(
        {weight: {0: ap} for weight, ap in validation.items()},
        {weight: {0: (0.0, 0.0)} for weight in validation},
    )


def test_as_many_weights_are_kept_as_the_other_has_and_those_nearest_in_validation_precision():
    many = course({w: 0.8 - w / 100 for w in range(6)})
    few = course({9: 0.791, 8: 0.762})
    assert even_weights(many, few) == ((4, 1), (8, 9))
    assert even_weights(few, many) == ((8, 9), (4, 1))


@pytest.mark.parametrize("seed", range(5))
def test_no_other_choice_of_as_many_weights_is_nearer(seed):
    draw = np.random.default_rng(seed)
    many, few = (dict(enumerate(draw.uniform(0.7, 0.8, n).tolist())) for n in (9, 4))
    ours, theirs = even_weights(course(many), course(few))
    assert theirs == tuple(sorted(few, key=few.get))
    nearest = min(
        combinations(sorted(many, key=many.get), 4),
        key=lambda some: sum(abs(many[a] - few[b]) for a, b in zip(some, theirs, strict=True)),
    )
    assert ours == nearest


def test_forty_weights_against_twenty_take_no_time():
    many, few = (course({w / n: 0.8 - 0.1 * w / n for w in range(n)}) for n in (40, 20))
    assert len(even_weights(many, few)[0]) == 20


def test_mean_validation_precision_over_seeds_decides_and_undefined_weights_are_left_out():
    many = Course({1.0: {0: 0.7, 1: 0.9}, 2.0: {0: 0.7, 1: 0.7}, 3.0: {0: np.nan}}, {})
    assert even_weights(many, course({5.0: 0.79})) == ((1.0,), (5.0,))
    assert even_weights(course({5.0: np.nan}), many) == ((), ())


def test_test_rows_have_no_part_in_the_choice_of_weights():
    draw = np.random.default_rng(0)
    by_weight = {w: dict(enumerate(draw.normal(0.8 - w / 100, 0.01, 5).tolist())) for w in range(6)}
    others = [
        Course(by_weight, {w: {0: tuple(draw.uniform(size=2).tolist())} for w in by_weight})
        for _ in range(2)
    ]
    few = course({9: 0.791, 8: 0.762})
    assert even_weights(others[0], few) == even_weights(others[1], few)


def test_points_are_those_of_seeds_that_have_every_weight():
    found = Course({}, {1.0: {0: (0.7, 0.1), 2: (0.7, 0.2)}, 2.0: {0: (0.8, 0.3), 1: (0.8, 0.4)}})
    assert found.seeds() == {0, 1, 2}
    assert found.of_seeds((2.0, 1.0)) == {0: [(0.8, 0.3), (0.7, 0.1)]}
    assert found.of_seeds((1.0,)) == {0: [(0.7, 0.1)], 2: [(0.7, 0.2)]}
    assert found.of_seeds(()) == {}
