"""When a run ends early: what has run dry, fails too often, or cannot be read; and when it does not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastinstruct.config import RunConfig, load_config
from fastinstruct.errors import EndpointError, ParserFailed
from fastinstruct.pipeline.budget.stop_rules import Stop, StopRules
from fastinstruct.records import RejectReason
from fastinstruct.store import CandidateRow, Commit, Finished, InstructionRow, RequestRow


def generated(num_candidates: int, num_admitted: int = 0) -> Commit:
    candidates = tuple(
        CandidateRow(id=n, text="x", reason=None if n < num_admitted else RejectReason.NEAR_DUPLICATE)
        for n in range(num_candidates)
    )
    instructions = tuple(InstructionRow(id=n, candidate_id=n, text="x") for n in range(num_admitted))
    return Commit(request=row("instructions"), candidates=candidates, instructions=instructions)


def row(stage: str = "classification", outcome: str = "ok") -> RequestRow:
    return RequestRow(id=1, stage=stage, number=1, template="t", in_context=None, outcome=outcome, detail="why")


def ended(outcome: str = "ok") -> Commit:
    return Commit(request=row(outcome=outcome))


def rules(config: RunConfig, recent: Sequence[Finished] = ()) -> StopRules:
    return StopRules(config, config.instructions, "instructions", recent)


def rules_of(**flags: object) -> StopRules:
    return rules(config(**flags))


def config(**flags: object) -> RunConfig:
    return load_config(flags={key.replace("__", "."): value for key, value in flags.items()})


# ----------------------------------------------------------------------------------------------------------- saturation


def test_a_model_has_run_dry_when_its_last_candidates_were_hardly_ever_new() -> None:
    watching = rules_of(saturation__window=20, saturation__floor=0.1)
    assert [watching.watch(generated(10, admitted)) for admitted in (5, 2, 1)] == [None, None, None]
    assert watching.watch(generated(10, 1)) == Stop(rule="saturation", used=0.1, limit=0.1)


def test_before_the_window_is_full_nothing_is_said() -> None:
    watching = rules_of(saturation__window=20, saturation__floor=0)
    assert watching.watch(generated(19)) is None
    assert watching.watch(generated(1)) == Stop(rule="saturation", used=0.0, limit=0.0)


def test_a_reply_without_candidates_counts_as_all_that_it_was_asked_for() -> None:
    watching = rules_of(saturation__window=400, instructions__num_items=8)
    stops = [watching.watch(generated(0)) for _ in range(50)]
    assert [stop is None for stop in stops] == [True] * 49 + [False]


def test_a_floor_of_null_never_ends_a_run() -> None:
    watching = rules(config().model_copy(update={"saturation": config().saturation.model_copy(update={"floor": None})}))
    assert [watching.watch(generated(8)) for _ in range(200)] == [None] * 200


def test_only_answered_requests_of_stage_1_tell_whether_a_model_runs_dry() -> None:
    watching = rules_of(saturation__window=8)
    assert watching.watch(ended()) is None
    assert watching.watch(Commit(request=row("instructions", "bad_request"))) is None
    assert watching.saturation() is None


def test_what_had_run_dry_in_an_earlier_sitting_has_not_filled_again() -> None:
    dry = Finished(
        stage="instructions",
        is_ok=True,
        prompt_tokens=1,
        completion_tokens=1,
        latency_s=1.0,
        finished_at=0.0,
        num_candidates=8,
    )
    assert rules(config(), [dry] * 50).saturation() is not None
    assert rules(config(), [dry] * 49).saturation() is None


@given(replies=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=40), window=st.integers(1, 60))
def test_the_rate_is_that_of_the_last_replies_that_hold_a_window_of_candidates(
    replies: list[tuple[int, int]], window: int
) -> None:
    watching = rules_of(saturation__window=window, saturation__floor=0.999, instructions__num_items=8)
    counted: list[tuple[int, int]] = []
    for num_candidates, share in replies:
        num_admitted = min(num_candidates, share)
        watching.watch(generated(num_candidates, num_admitted))
        counted.append((num_candidates or 8, num_admitted))
        last: list[tuple[int, int]] = []
        for reply in reversed(counted):
            if sum(candidates for candidates, _ in last) >= window:
                break
            last.append(reply)
        total = sum(candidates for candidates, _ in last)
        rate = sum(admitted for _, admitted in last) / total
        stop = watching.saturation()
        assert (stop is not None) == (total >= window and rate <= 0.999)
        assert stop is None or stop.used == rate


# --------------------------------------------------------------------------------------------------------------- errors


def test_a_larger_share_of_failures_than_allowed_stops_the_run() -> None:
    watching = rules_of(budget__max_error_rate=0.25, budget__error_window=8)
    assert [watching.watch(ended(outcome)) for outcome in ["ok", "deadline"] * 2 + ["ok"] * 3] == [None] * 7
    assert watching.watch(ended("ok")) is None
    assert watching.watch(ended("bad_request")) == Stop(rule="error_rate", used=0.375, limit=0.25)


def test_without_a_limit_no_share_of_failures_stops_the_run() -> None:
    watching = rules_of()
    assert [watching.watch(ended(outcome)) for outcome in ["ok", "deadline"] * 100] == [None] * 200


@pytest.mark.parametrize(("before", "most"), [([], 5), (["ok"], 50)])
def test_requests_that_all_fail_end_the_run_sooner_if_none_has_ever_succeeded(before: list[str], most: int) -> None:
    watching = rules_of()
    for outcome in before + ["deadline"] * (most - 1):
        watching.watch(ended(outcome))
    with pytest.raises(EndpointError, match=rf"the last {most} requests failed \(deadline: why\)"):
        watching.watch(ended("deadline"))


def test_one_reply_in_a_hundred_may_be_unreadable_and_no_more() -> None:
    watching = rules_of()
    for outcome in ["parser_failed"] * 2 + ["ok"] * 97:
        watching.watch(ended(outcome))
    with pytest.raises(ParserFailed, match="2 of 100 replies could not be parsed; they are stored"):
        watching.watch(ended())
    watching = rules_of()
    for outcome in ["parser_failed", *["ok"] * 198, "parser_failed"]:
        assert watching.watch(ended(outcome)) is None
    with pytest.raises(ParserFailed, match="3 of 201"):
        watching.watch(ended("parser_failed"))
