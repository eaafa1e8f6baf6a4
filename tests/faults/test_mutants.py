"""The list of mutants fits the source, and a mutant is told from no change."""

from dataclasses import replace

import pytest

import mutants

MUTANTS = mutants.mutants()


def test_the_code_of_every_mutant_is_there_once_and_its_tests_exist():
    for mutant in MUTANTS:
        file, changed = mutant.applied(mutants.ROOT)
        assert changed != file.read_text(encoding="utf-8"), mutant.name
        assert mutant.tests, mutant.name
        assert mutant.equivalent or mutant.why, mutant.name
        for test in (*mutant.tests, *mutant.more):
            assert (mutants.ROOT / test.split("::", maxsplit=1)[0]).is_file(), mutant.name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"old": "no such code"}, "is 0 times in"),
        ({"within": "", "old": "return"}, r"is \d+ times in"),
        ({"new": "("}, "was never closed|invalid syntax"),
    ],
)
def test_a_mutant_that_does_not_fit_the_source_is_an_error(change, message):
    with pytest.raises(mutants.ListError, match=message):
        replace(MUTANTS[0], **change).applied(mutants.ROOT)


def test_code_is_looked_for_within_the_named_function_alone():
    text = "def one():\n    return 1\n\n\nclass Two:\n    def one(self):\n        return 1\n"
    assert len(mutants._places(text, "", "return 1")) == 2
    assert mutants._places(text, "Two", "return 1") == [text.rindex("return 1")]
    assert len(mutants._places(text, "one", "return 1")) == 2
    assert mutants._places(text, "three", "return 1") == []
