"""What a request may use at most: a bound where the server keeps to it, and a higher one after it has not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastinstruct.lm import Request
from fastinstruct.pipeline.budget.ledger import Use
from fastinstruct.pipeline.budget.worst_case import WorstCase
from fastinstruct.records import Message, Prompt, Sampling, Usage


def request(prompt: Prompt = "x" * 100, max_tokens: int | None = 50) -> Request:
    return Request(key="k", prompt=prompt, sampling=Sampling(max_tokens=max_tokens))


def bounds(extra_body: dict[str, object] | None = None) -> WorstCase:
    return WorstCase({"a": extra_body or {}, "b": {}})


def test_a_byte_is_a_token_at_most_and_the_reply_is_as_long_as_it_may_be() -> None:
    assert bounds().of("a", request()) == Use(num_requests=1, prompt_tokens=164, completion_tokens=50)


def test_scripts_count_by_their_bytes_and_messages_by_their_frames() -> None:
    chat = (Message(role="system", content="ab"), Message(role="user", content="名前"))
    assert bounds().of("a", request(chat)).prompt_tokens == 2 + 6 + 2 * 16 + 64
    assert bounds().of("a", request("\ud83d")).prompt_tokens == 3 + 64


@pytest.mark.parametrize(
    ("extra_body", "max_tokens", "expected"),
    [
        ({}, None, 4096),
        ({"max_tokens": 8000}, 50, 8000),
        ({"max_completion_tokens": 8000}, 50, 8000),
        ({"max_tokens": None}, 50, 4096),
        ({"max_tokens": None, "n_predict": 70}, 50, 70),
        ({"n": 3}, 50, 150),
        ({"best_of": 5, "n": 3}, 50, 250),
        ({"n": "3", "best_of": True}, 50, 50),
        ({"max_tokens": -1}, 50, 4096),
    ],
)
def test_what_the_configuration_merges_into_requests_is_taken_into_account(
    extra_body: dict[str, object], max_tokens: int | None, expected: int
) -> None:
    assert bounds(extra_body).of("a", request(max_tokens=max_tokens)).completion_tokens == expected


def test_a_reply_within_its_bound_changes_nothing() -> None:
    worst = bounds()
    worst.learn("a", request(), Usage(prompt_tokens=164, completion_tokens=50))
    assert worst.of("a", request()) == bounds().of("a", request())


def test_a_server_that_counted_more_raises_the_bounds_of_its_lane_by_half_as_much_again() -> None:
    worst = bounds()
    worst.learn("a", request(), Usage(prompt_tokens=328, completion_tokens=200))
    worst.learn("a", request(), Usage(prompt_tokens=10, completion_tokens=1))
    assert worst.of("a", request()) == Use(num_requests=1, prompt_tokens=492, completion_tokens=300)
    assert worst.of("b", request()) == bounds().of("b", request())


def test_where_the_server_decides_the_longest_reply_and_half_as_much_again_is_the_bound() -> None:
    worst = bounds()
    worst.learn("a", request(max_tokens=None), Usage(prompt_tokens=9, completion_tokens=6000))
    assert worst.of("a", request(max_tokens=None)).completion_tokens == 9000


def test_an_absurd_report_leaves_a_bound_that_a_number_can_hold() -> None:
    worst = bounds()
    worst.learn("a", request(), Usage(prompt_tokens=2**53, completion_tokens=2**53))
    assert worst.of("a", request()).num_tokens <= 4 * 10**9


@given(text=st.text(max_size=50), tail=st.text(max_size=50))
def test_a_longer_prompt_has_no_smaller_bound(text: str, tail: str) -> None:
    shorter, longer = (bounds().of("a", request(prompt)).prompt_tokens for prompt in (text, text + tail))
    assert len(text) <= shorter <= longer
