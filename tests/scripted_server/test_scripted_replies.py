"""What the scripted server says: replies in the formats of all stages, decided by the request alone."""

from __future__ import annotations

import math
import random
import re
from typing import Any

import pytest
from rapidfuzz import process
from rapidfuzz.distance import Indel

from fastinstruct import RougeIndex
from fastinstruct.records import Api, FinishReason
from fastinstruct.scripted_server.draws import text_sha256
from fastinstruct.scripted_server.quick import quick_reply
from fastinstruct.scripted_server.replies import Kind, ReplyRates, grammar_instruction, recognise, reply_to
from fastinstruct.scripted_server.shapes import Ask, Reply
from fastinstruct.scripted_server.words import REPEATED
from fastinstruct.text.parsing import parse_instances, parse_instructions
from fastinstruct.text.sifting import sift_instances
from scripted_http import CLASSIFICATION, INPUT_FIRST, INSTRUCTIONS, OUTPUT_FIRST

PURE = ReplyRates(duplicate_rate=0.0, junk_rate=0.0, length_rate=0.0)
KEYWORDS = re.compile(
    r"\b(images?|graphs?|pictures?|files?|maps?|draw|plot|go to|video|audio|music|flowchart|diagram)\b", re.IGNORECASE
)


def completion(prompt: str, **fields: object) -> Ask:
    return Ask(chat=False, model="scripted", prompt=prompt, **fields)  # type: ignore[arg-type]  # a test's shorthand


# ------------------------------------------------------------------------------------------------------ what it answers


def test_the_first_cue_in_the_prompt_tells_the_kind() -> None:
    prompts = [CLASSIFICATION, OUTPUT_FIRST, INPUT_FIRST, INSTRUCTIONS, "Label task, Class label: and Output:"]
    kinds = [Kind.CLASSIFICATION, Kind.OUTPUT_FIRST, Kind.INPUT_FIRST, Kind.INSTRUCTIONS, Kind.CLASSIFICATION]
    assert [recognise(prompt) for prompt in prompts] == kinds


def test_a_completions_reply_goes_on_with_the_prompts_numbering() -> None:
    text = reply_to(completion(INSTRUCTIONS), seed=0, rates=PURE).text
    assert text.startswith(" ")
    numbers = [int(number) for number in re.findall(r"^(\d+)\. ", "9." + text, re.MULTILINE)]
    assert numbers == list(range(9, 9 + len(numbers)))
    assert 5 <= len(numbers) <= 8


def test_a_completions_reply_to_an_unnumbered_prompt_starts_at_1() -> None:
    assert reply_to(completion("Some tasks, please."), seed=0, rates=PURE).text.startswith("1. ")


def test_chat_replies_come_in_four_list_formats() -> None:
    asks = [Ask(chat=True, model="m", prompt=f"Tasks, please ({n}).") for n in range(40)]
    texts = [reply_to(ask, seed=0, rates=PURE).text for ask in asks]
    starts = ("Sure! Here are", "- ", "**Task 9:** ", "9. ")
    assert all(text.startswith(starts) for text in texts)
    assert {start for start in starts for text in texts if text.startswith(start)} == set(starts)
    assert all("\n\n1. " in text for text in texts if text.startswith("Sure!"))


def test_replies_depend_on_server_seed_prompt_and_request_seed_alone() -> None:
    def text(prompt: str, seed: int, request_seed: int | None) -> str:
        return reply_to(completion(prompt, seed=request_seed), seed=seed, rates=PURE).text

    assert text(INSTRUCTIONS, 1, None) == text(INSTRUCTIONS, 1, None)
    variants = {
        text(INSTRUCTIONS, 1, None),
        text(INSTRUCTIONS, 2, None),
        text(INSTRUCTIONS, 1, 5),
        text("A 9.", 1, None),
    }
    assert len(variants) == 4


def test_a_reply_is_pinned_so_that_stored_runs_meet_it_again_after_an_upgrade() -> None:
    text = reply_to(completion(INSTRUCTIONS), seed=0, rates=PURE).text
    first = "Explain comets to hikers without experience leaving out all adjectives, perhaps as a quiz."
    assert text.partition("\n")[0] == f" {first}"


def test_a_quarter_of_the_tasks_is_classification() -> None:
    prompts = [f"Label task\nTask: a\nYes\nTask: Sort pile {n}.\nIs it?" for n in range(2000)]
    answers = [reply_to(completion(prompt), seed=0, rates=PURE).text for prompt in prompts]
    assert set(answers) == {" Yes", " No"}
    assert 0.22 < answers.count(" Yes") / len(answers) < 0.28


def test_the_label_depends_on_the_last_task_only() -> None:
    prompts = [f"Label task {n}\nTask: other {n}\nNo\nTask:  Sort the pile. \nclassification? {n}" for n in range(50)]
    assert len({reply_to(completion(prompt), seed=0, rates=PURE).text for prompt in prompts}) == 1


def test_input_first_replies_have_one_to_three_examples_or_an_output_alone() -> None:
    texts = [reply_to(completion(f"{INPUT_FIRST}{n}"), seed=0, rates=PURE).text for n in range(200)]
    block = r"Example \d\nInput: [^\n]+\nOutput: [^\n]+"
    assert all(re.fullmatch(rf"{block}(\n\n{block}){{0,2}}|Output: [^\n]+", text) for text in texts)
    assert {text.count("Input: ") for text in texts} == {0, 1, 2, 3}


def test_output_first_replies_have_two_or_three_labelled_texts() -> None:
    texts = [reply_to(completion(f"{OUTPUT_FIRST}{n}"), seed=0, rates=PURE).text for n in range(200)]
    block = r"Class label: \w+\n[^\n]+"
    assert all(re.fullmatch(rf"{block}(\n\n{block}){{1,2}}", text) for text in texts)
    assert {text.count("Class label: ") for text in texts} == {2, 3}


def test_a_length_reply_is_the_stop_reply_with_its_last_item_cut() -> None:
    whole = reply_to(completion(INSTRUCTIONS), seed=0, rates=PURE)
    cut = reply_to(
        completion(INSTRUCTIONS), seed=0, rates=ReplyRates(duplicate_rate=0.0, junk_rate=0.0, length_rate=1.0)
    )
    assert (whole.finish_reason, cut.finish_reason) == (FinishReason.STOP, FinishReason.LENGTH)
    assert whole.text.startswith(cut.text)
    assert whole.text.count("\n") == cut.text.count("\n")
    assert len(cut.text) < len(whole.text)


# ---------------------------------------------------------------------------------------------------------- the grammar


def grammar_texts(number: int) -> list[str]:
    rng = random.Random(20)
    return [grammar_instruction(rng) for _ in range(number)]


def test_rouge_l_at_07_rejects_under_15_percent_of_the_first_2000_instructions() -> None:
    admitted: list[list[str]] = []
    for text in grammar_texts(2000):
        tokens = re.findall("[a-z0-9]+", text.lower())
        # Indel similarity of token lists, 2 LCS / (m + n), is ROUGE-L's F-measure.
        if not process.extractOne(tokens, admitted, scorer=Indel.normalized_similarity, score_cutoff=0.7):
            admitted.append(tokens)
    assert len(admitted) > 1700


def test_grammar_instructions_have_8_to_25_words() -> None:
    lengths = [len(text.split()) for text in grammar_texts(20_000)]
    assert min(lengths) >= 8
    assert max(lengths) <= 25


def test_grammar_instructions_hold_no_word_that_the_filters_refuse() -> None:
    texts = grammar_texts(20_000)
    assert [text for text in texts if KEYWORDS.search(text) or text.startswith("Write a program")] == []
    assert all(text.isascii() and text[0].isupper() for text in texts)


def instructions_of(rates: ReplyRates) -> list[str]:
    replies = [reply_to(completion(f"{n}\n9."), seed=0, rates=rates).text for n in range(100)]
    return [item.strip() for reply in replies for item in re.split(r"\n\d+\. ", reply)]


def test_junk_is_what_the_filters_reject() -> None:
    refused = re.compile(rf"{KEYWORDS.pattern}|^I'm sorry|^As a language model|^Write a program|^\W|^\w+ \w+\.$", re.I)
    texts = instructions_of(ReplyRates(duplicate_rate=0.0, junk_rate=1.0, length_rate=0.0))
    assert [text for text in texts if not refused.search(text)] == []


def test_duplicates_repeat_a_small_set_nearly_verbatim() -> None:
    texts = instructions_of(ReplyRates(duplicate_rate=1.0, junk_rate=0.0, length_rate=0.0))
    assert len(texts) > 500
    assert len(set(texts)) == 18
    assert len({re.sub(r"(, please)?[.!]$", "", text) for text in texts}) == 6


# -------------------------------------------------------------------------------------------------------- quick replies


PROMPTS = {
    Kind.INSTRUCTIONS: INSTRUCTIONS,
    Kind.CLASSIFICATION: CLASSIFICATION,
    Kind.INPUT_FIRST: INPUT_FIRST,
    Kind.OUTPUT_FIRST: OUTPUT_FIRST,
}


def quick(kind: Kind, number: int = 0, *, rates: ReplyRates = PURE, chat: bool = False, **fields: Any) -> Reply:
    ask = Ask(chat=chat, model="m", prompt=PROMPTS[kind], **fields)
    return quick_reply(ask, kind, text_sha256(str(number)), seed=0, rates=rates)


def quick_texts(num_replies: int, rates: ReplyRates = PURE) -> list[str]:
    replies = [quick(Kind.INSTRUCTIONS, n, rates=rates).text for n in range(num_replies)]
    return [item.strip() for reply in replies for item in re.split(r"\n\d+\. ", reply)]


@pytest.mark.parametrize("kind", Kind)
def test_quick_replies_depend_on_seed_prompt_and_request_seed_alone(kind: Kind) -> None:
    ask = Ask(chat=False, model="m", prompt=PROMPTS[kind], num_logprobs=2)
    variants = [
        quick_reply(ask._replace(seed=request_seed), kind, sha, seed=seed, rates=PURE)
        for seed, request_seed, sha in [(0, None, "a"), (1, None, "a"), (0, 1, "a"), (0, None, "b"), (0, None, "a")]
    ]
    assert variants[0] == variants[4]
    assert len({str(variant) for variant in variants}) == 4


@pytest.mark.parametrize("api", Api)
def test_quick_instructions_parse_as_numbered_lists(api: Api) -> None:
    for number in range(200):
        reply = quick(Kind.INSTRUCTIONS, number, chat=api is Api.CHAT)
        parsed = parse_instructions(
            reply.text, api=api, first_number=9, max_items=20, finish_reason=reply.finish_reason
        )
        assert list(parsed.kept) == [text.strip() for text in re.split(r"(?:^|\n)(?:9|1\d)\. ", reply.text) if text]
        assert 5 <= len(parsed.kept) <= 8


def test_quick_instructions_go_on_with_the_prompts_numbering() -> None:
    assert re.findall(r"^(\d+)\. ", "9." + quick(Kind.INSTRUCTIONS).text, re.MULTILINE)[:3] == ["9", "10", "11"]
    assert quick(Kind.INSTRUCTIONS, chat=True).text.startswith("9. ")


def test_quick_instances_parse_and_pass_the_filters() -> None:
    for kind in (Kind.INPUT_FIRST, Kind.OUTPUT_FIRST):
        for number in range(200):
            reply = quick(kind, number)
            labelled = kind is Kind.OUTPUT_FIRST
            parsed = parse_instances(reply.text, is_classification=labelled, finish_reason=reply.finish_reason)
            assert 1 <= len(parsed.kept) <= 3
            assert sift_instances(parsed.kept).kept == parsed.kept


def test_quick_answers_are_yes_in_a_quarter_and_carry_logprobs_where_asked() -> None:
    answers = [quick(Kind.CLASSIFICATION, n).text for n in range(2000)]
    assert set(answers) == {" Yes", " No"}
    assert 0.22 < answers.count(" Yes") / len(answers) < 0.28
    assert quick(Kind.CLASSIFICATION).top_logprobs is None
    reply = quick(Kind.CLASSIFICATION, chat=True, num_logprobs=2)
    assert reply.top_logprobs is not None
    assert next(iter(reply.top_logprobs)) == reply.text
    assert sum(map(math.exp, reply.top_logprobs.values())) == pytest.approx(1)


def test_quick_instructions_stay_apart_and_pass_the_filters() -> None:
    texts = quick_texts(3000)
    assert len(set(texts)) == len(texts)
    assert [verdict.admitted for verdict in RougeIndex(threshold=0.7).admit(texts)].count(False) < len(texts) / 1000
    assert [text for text in texts if KEYWORDS.search(text) or text.startswith("Write a program")] == []
    assert all(text.isascii() and text[0].isupper() and 8 <= len(text.split()) <= 25 for text in texts)


def test_quick_replies_keep_the_rates() -> None:
    texts = quick_texts(2000, ReplyRates(duplicate_rate=0.2, junk_rate=0.1, length_rate=0.0))
    repeated = sum(any(text.startswith(start) for start in REPEATED) for text in texts)
    assert repeated / len(texts) == pytest.approx(0.2, abs=0.02)
    apart = sum(text.endswith((".", "?")) and len(text.split()) >= 8 for text in texts) - repeated
    assert 0.66 < apart / len(texts) < 0.8
    cut = ReplyRates(duplicate_rate=0.0, junk_rate=0.0, length_rate=0.3)
    lengths = [quick(Kind.INPUT_FIRST, n, rates=cut).finish_reason for n in range(2000)]
    assert lengths.count(FinishReason.LENGTH) / 2000 == pytest.approx(0.3, abs=0.03)
