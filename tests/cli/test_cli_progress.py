"""What is said of how far a command is where no terminal shows it."""

import pytest

from dralign.cli import audit
from dralign.cli.progress import duration


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.1, "1 s"), (89, "89 s"), (90, "2 min"), (3600, "60 min"), (9000, "2 h")],
)
def test_a_time_is_told_in_the_unit_that_fits_it(seconds, words):
    assert duration(seconds) == words


def test_a_long_stage_is_told_of_again_every_half_minute(monkeypatch):
    said, now = [], [0.0]
    monkeypatch.setattr(audit, "say", said.append)
    monkeypatch.setattr(audit.time, "monotonic", lambda: now[0])
    tell = audit._Stages()
    for now[0], stage, part in ((0, "a", 0), (9, "a", 0.1), (31, "a", 0.4), (40, "b", 0)):
        tell(stage, part)
    assert said == ["audit: a", "audit: a, 40 %", "audit: b"]
