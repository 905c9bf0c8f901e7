"""Stage 2 by log-probabilities: odds, thresholds and their worth, with values worked out by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastinstruct.pipeline.stages.calibration import (
    answer_accuracy,
    balanced_accuracy,
    best_threshold,
    cross_validated_accuracy,
    is_yes,
    log_odds,
)

# Whole halves: their means are exact, so a threshold between two of them is always strictly between.
ODDS = st.lists(st.integers(-40, 40).map(lambda half: half / 2), max_size=12)
SOME_ODDS = ODDS.filter(bool)


def logs(**shares: float) -> dict[str, float]:
    return {token: math.log(share) for token, share in shares.items()}


# ------------------------------------------------------------------------------------------------------------- log_odds


def test_log_odds_is_the_difference_of_the_two_answers() -> None:
    assert log_odds({" Yes": -0.5, " No": -2.0, " It": -3.0}) == 1.5


def test_spellings_of_an_answer_are_added_up() -> None:
    odds = log_odds(logs(Yes=0.2, yes=0.1, true=0.1, No=0.3, no=0.05, false=0.05))
    assert odds == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("token", ["Yes", " yes", "ĠYes", "▁yes", "**Yes", '"yes', "YES.", " true"])
def test_a_token_of_any_vocabulary_counts_as_yes(token: str) -> None:
    assert log_odds({token: -1.0, "No": -3.0}) == 2.0


@pytest.mark.parametrize("token", ["Yesterday", "Not", "None", "Nope", "y", ""])
def test_other_words_are_no_answers(token: str) -> None:
    assert log_odds({token: -1.0}) is None


@pytest.mark.parametrize("nothing", [None, {}])
def test_without_alternatives_there_are_no_odds(nothing: dict[str, float] | None) -> None:
    assert log_odds(nothing) is None


def test_an_answer_that_is_not_listed_has_at_most_the_last_ones_probability() -> None:
    assert log_odds({"No": -0.2, "It": -4.0, "The": -9.0}) == pytest.approx(-9.0 - -0.2)
    assert log_odds({"Yes": -0.2, "It": -4.0, "The": -9.0}) == pytest.approx(-0.2 - -9.0)


def test_an_answer_that_is_not_listed_has_at_most_what_the_others_leave() -> None:
    assert log_odds(logs(No=0.9)) == pytest.approx(math.log(0.1 / 0.9))
    assert log_odds(logs(Yes=0.75)) == pytest.approx(math.log(0.75 / 0.25))


def test_a_single_certain_answer_still_has_finite_odds() -> None:
    assert log_odds({"Yes": 0.0}) == pytest.approx(math.log(1e6))
    assert log_odds({"No": 0.0}) == pytest.approx(-math.log(1e6))


@given(st.dictionaries(st.sampled_from(["Yes", "No", "no", "It", " The"]), st.floats(-60, 0), min_size=1))
def test_swapping_the_answers_turns_the_odds_around(top_logprobs: dict[str, float]) -> None:
    swap = {"Yes": "No", "No": "Yes", "no": "yes"}
    odds = log_odds(top_logprobs)
    swapped = log_odds({swap.get(token, token): value for token, value in top_logprobs.items()})
    assert (odds is None) == (swapped is None)
    if odds is not None and swapped is not None:
        assert math.isfinite(odds)
        assert swapped == pytest.approx(-odds)


# ------------------------------------------------------------------------------------------------------ best_threshold


def test_the_threshold_is_in_the_middle_of_the_gap_between_the_kinds() -> None:
    assert best_threshold(yes=[3.0, 4.0], no=[-2.0, 1.0]) == 2.0


def test_of_equally_good_gaps_the_widest_is_taken() -> None:
    # Cutting at 0.5 or at 6 makes one mistake each, of one in two; the gap from 2 to 10 is wider.
    assert best_threshold(yes=[1.0, 10.0], no=[0.0, 2.0]) == 6.0


def test_a_biased_model_gets_a_threshold_far_from_zero() -> None:
    assert best_threshold(yes=[7.0, 8.0, 9.0], no=[4.0, 5.0, 5.5]) == 6.25


def test_without_values_the_threshold_is_zero() -> None:
    assert best_threshold([], []) == 0.0


@given(SOME_ODDS, SOME_ODDS)
def test_no_threshold_is_better_than_the_best(yes: list[float], no: list[float]) -> None:
    best = balanced_accuracy(yes, no, best_threshold(yes, no))
    cuts = [half / 4 for half in range(-170, 170)]
    assert best == max(balanced_accuracy(yes, no, cut) for cut in cuts)
    assert best >= 0.5


@given(SOME_ODDS, SOME_ODDS, st.integers(-20, 20))
def test_shifting_all_odds_shifts_the_threshold(yes: list[float], no: list[float], shift: int) -> None:
    shifted = best_threshold([odds + shift for odds in yes], [odds + shift for odds in no])
    assert shifted == best_threshold(yes, no) + shift


# ----------------------------------------------------------------------------------------------------------- accuracies


def test_odds_at_the_threshold_mean_no() -> None:
    assert not is_yes(1.0, 1.0)
    assert is_yes(1.0000001, 1.0)


def test_balanced_accuracy_weighs_both_kinds_alike() -> None:
    assert balanced_accuracy(yes=[1.0], no=[-1.0, -1.0, -1.0, 1.0], threshold=0.0) == 0.875


def test_saying_yes_to_everything_is_guessing() -> None:
    assert balanced_accuracy(yes=[9.0], no=[8.0, 7.0, 9.0], threshold=0.0) == 0.5


def test_a_kind_without_tasks_counts_as_guessed() -> None:
    assert balanced_accuracy(yes=[], no=[-1.0], threshold=0.0) == 0.75
    assert balanced_accuracy(yes=[], no=[], threshold=0.0) == 0.5


def test_answers_read_from_text_take_neither_for_no() -> None:
    assert answer_accuracy(yes=[True, True, None, False], no=[False, None, False, False]) == 0.75
    assert answer_accuracy(yes=[None, None], no=[None]) == 0.5
    assert answer_accuracy(yes=[True], no=[False]) == 1.0


def test_cross_validation_judges_each_fold_by_the_others_threshold() -> None:
    # Fold one (4, 6 | 0, 1) fits 2.5, fold two (2, 5 | 1, 3) fits 4 (one yes wrong, as at 1.5, but a wider gap).
    yes, no = [4.0, 2.0, 6.0, 5.0], [0.0, 1.0, 1.0, 3.0]
    assert best_threshold(yes[0::2], no[0::2]) == 2.5
    assert best_threshold(yes[1::2], no[1::2]) == 4.0
    # 2.5 on fold two: yes 1 of 2, no 1 of 2. 4.0 on fold one: yes 1 of 2 (4 is not above), no 2 of 2.
    assert cross_validated_accuracy(yes, no) == (0.5 + 0.75) / 2


def test_cross_validation_of_kinds_far_apart_is_perfect() -> None:
    assert cross_validated_accuracy([5.0, 6.0, 7.0, 8.0], [-5.0, -6.0, -7.0, -8.0]) == 1.0


def test_cross_validation_without_a_second_fold_is_guessing() -> None:
    assert cross_validated_accuracy([5.0], [-5.0]) == 0.5
    assert cross_validated_accuracy([], []) == 0.5


def test_constant_odds_are_worth_a_guess() -> None:
    assert cross_validated_accuracy([1.0] * 6, [1.0] * 6) == 0.5


@given(ODDS, ODDS)
def test_cross_validated_accuracy_is_a_share(yes: list[float], no: list[float]) -> None:
    assert 0.0 <= cross_validated_accuracy(yes, no) <= 1.0
