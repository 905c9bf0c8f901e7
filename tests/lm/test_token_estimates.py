"""Estimated tokens: high at first, then right, and never senseless."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastinstruct.lm.limits.token_estimates import TokenEstimator
from fastinstruct.records import Usage


def usage(prompt_tokens: int, completion_tokens: int) -> Usage:
    return Usage(prompt_tokens=prompt_tokens, completion_tokens=completion_tokens)


def test_the_first_estimate_is_a_third_of_the_characters_and_all_of_max_tokens() -> None:
    assert TokenEstimator().estimate("a", 3000, 512) == 1000 + 512
    assert TokenEstimator().estimate("a", 3000, None) == 1000 + 1024


def test_it_learns_a_kinds_tokens_per_character_and_its_usual_completion() -> None:
    estimator = TokenEstimator()
    for _ in range(1000):
        estimator.learn("a", 2000, 512, usage(1000, 100))
    assert estimator.estimate("a", 2000, 512) == pytest.approx(1100, rel=0.01)
    assert estimator.estimate("a", 4000, 512) == pytest.approx(2100, rel=0.01)


def test_kinds_are_learned_apart() -> None:
    estimator = TokenEstimator()
    for _ in range(1000):
        estimator.learn("a", 300, 512, usage(100, 5))
        estimator.learn("b", 300, 512, usage(200, 500))
    assert estimator.estimate("a", 300, 512) == pytest.approx(105, rel=0.02)
    assert estimator.estimate("b", 300, 512) == pytest.approx(700, rel=0.02)


def test_single_replies_hardly_move_it_and_a_change_is_followed() -> None:
    estimator = TokenEstimator()
    for _ in range(1000):
        estimator.learn("a", 300, 4096, usage(100, 200))
    estimator.learn("a", 300, 4096, usage(100, 4096))
    assert estimator.estimate("a", 300, 4096) < 345
    for _ in range(500):
        estimator.learn("a", 300, 4096, usage(100, 800))
    assert estimator.estimate("a", 300, 4096) == pytest.approx(900, rel=0.01)


def test_the_first_replies_which_are_the_short_ones_are_not_trusted_alone() -> None:
    estimator = TokenEstimator()
    estimator.estimate("a", 300, 1000)
    estimator.learn("a", 300, 1000, usage(100, 10))
    assert estimator.estimate("a", 300, 1000) == 100 + 802


def test_an_estimate_does_not_exceed_the_requests_own_max_tokens() -> None:
    estimator = TokenEstimator()
    for _ in range(100):
        estimator.learn("a", 300, 1000, usage(100, 900))
    assert estimator.estimate("a", 300, 50) == 150


def test_a_server_that_reports_nothing_teaches_nothing() -> None:
    estimator = TokenEstimator()
    estimator.learn("a", 300, 512, Usage())
    assert estimator.estimate("a", 300, 512) == 100 + 512


def test_each_part_is_learned_only_where_it_is_told() -> None:
    estimator = TokenEstimator()
    for _ in range(1000):
        estimator.learn("prompt", 300, 512, Usage(prompt_tokens=200, completion_is_told=False))
        estimator.learn("completion", 300, 512, Usage(completion_tokens=12))
    assert estimator.estimate("prompt", 300, 512) == pytest.approx(200 + 512, rel=0.01)
    assert estimator.estimate("completion", 300, 512) == pytest.approx(100 + 12, rel=0.01)


@pytest.mark.parametrize(
    ("told", "used"),
    [
        (Usage(prompt_tokens=90, completion_tokens=7), 97),
        (Usage(prompt_tokens=90), 90),
        (Usage(prompt_tokens=90, completion_is_told=False), 90 + 512),
        (Usage(completion_tokens=7), 100 + 7),
        (Usage(), 100 + 512),
        (Usage(completion_is_told=False), 100 + 512),
    ],
)
def test_what_a_reply_does_not_tell_counts_in_full(told: Usage, used: int) -> None:
    estimator = TokenEstimator()
    for _ in range(1000):
        estimator.learn("a", 300, 512, usage(100, 5))
    assert estimator.used("a", 300, 512, told) == pytest.approx(used, rel=0.01)


@given(st.lists(st.tuples(st.integers(-(10**18), 10**18), st.integers(-(10**18), 10**18)), max_size=20))
def test_senseless_usage_keeps_estimates_finite_and_positive(reported: list[tuple[int, int]]) -> None:
    estimator = TokenEstimator()
    for prompt_tokens, completion_tokens in reported:
        estimator.learn("a", 100, None, usage(prompt_tokens, completion_tokens))
    assert 1 <= estimator.estimate("a", 100, None) <= 2 * 10**7


def test_the_mean_error_is_small_once_enough_was_seen() -> None:
    rng = random.Random(5)
    estimator = TokenEstimator()
    errors = []
    for number in range(2000):
        characters = rng.randint(500, 5000)
        real = usage(round(characters / 4.2), max(1, round(rng.gauss(300, 90))))
        estimate = estimator.estimate("a", characters, 1024)
        estimator.learn("a", characters, 1024, real)
        if number >= 500:
            errors.append(estimate - real.prompt_tokens - real.completion_tokens)
    assert abs(sum(errors) / len(errors)) < 10
