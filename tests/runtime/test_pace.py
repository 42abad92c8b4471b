"""The guess of how long a request will take."""

from __future__ import annotations

from runtime.pace import SHORT_SECONDS, Pace


def test_what_is_not_known_is_not_short() -> None:
    """The first of a kind goes to a thread; once seen quick, the next may run in the event loop."""
    pace = Pace()
    assert not pace.is_short("/predict", 100)
    pace.note("/predict", 100, SHORT_SECONDS / 2)
    assert pace.is_short("/predict", 100)
    assert not pace.is_short("/predict", 100_000)
    assert not pace.is_short("/predict/other", 100)


def test_many_quick_ones_do_not_excuse_a_slow_one() -> None:
    """One request that took long ends the trust that hundreds built up, until quick ones win it back."""
    pace = Pace()
    for _ in range(500):
        pace.note("/predict", 100, SHORT_SECONDS / 100)
    pace.note("/predict", 100, SHORT_SECONDS * 10)
    assert not pace.is_short("/predict", 100)
    for _ in range(20):
        pace.note("/predict", 100, SHORT_SECONDS / 100)
    assert pace.is_short("/predict", 100)


def test_a_wait_of_milliseconds_is_forgiven_once_and_not_for_ever() -> None:
    """On a busy machine a quick request may wait for a processor; a kind that has become slow is soon known as slow."""
    pace = Pace()
    pace.note("/predict", 100, SHORT_SECONDS / 100)
    pace.note("/predict", 100, SHORT_SECONDS * 4)
    assert pace.is_short("/predict", 100)
    for _ in range(10):
        pace.note("/predict", 100, SHORT_SECONDS * 4)
    assert not pace.is_short("/predict", 100)
