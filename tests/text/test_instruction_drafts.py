"""Thinking and drafts before the answer give no instruction."""

import random
import time

import pytest

from fastinstruct.records import Api, FinishReason
from fastinstruct.text import instruction_drafts
from fastinstruct.text.instruction_drafts import without_thinking
from fastinstruct.text.parsed import Parsed
from fastinstruct.text.parsing_instructions import parse_instructions

SEA = "Write a short poem about the quiet sea."
TIDES = "Explain how ocean tides work to children."
STORMS = "Write a haiku about loud winter storms."
RAIN = "Explain to adults where the rain comes from."
LIST = f"9. {SEA}\n10. {TIDES}"


def read(text: str) -> Parsed[str]:
    return parse_instructions(text, api=Api.CHAT, first_number=9, max_items=20, finish_reason=FinishReason.STOP)


@pytest.mark.parametrize("draft", [f"9. {STORMS}\n10. {RAIN}", f"1. {STORMS}\n2. {RAIN}", f"- {STORMS}\n- {RAIN}"])
@pytest.mark.parametrize(
    "shape",
    [
        "<think>\n{draft}\n</think>\n{answer}",
        "{draft}\n</think>\n{answer}",
        "<seed:think>{draft}</seed:think>\n{answer}",
        "[THINK]\n{draft}\n[/THINK]{answer}",
        "◁think▷{draft}◁/think▷\n{answer}",
        "<reasoning>\n{draft}\n</reasoning>\n\n{answer}",
        "analysisWe need two tasks.\n{draft}assistantfinal{answer}",
        "analysisWe need two tasks.\n{draft}\nassistantfinal\n{answer}",
        "<|channel|>analysis<|message|>{draft}<|end|><|start|>assistant<|channel|>final<|message|>{answer}",
        "Thinking...\n{draft}\n...done thinking.\n\n{answer}",
        "Let me think.\n{draft}\nFinal: {answer}",
        "Let me think.\n{draft}\n\nFinal answer:\n{answer}",
        "**Draft**\n{draft}\n\n**Final list**\n{answer}",
        "{draft}\n\nHere is my revised list:\n\n{answer}",
        "Ideas:\n{draft}\n\nActually, let me refine these.\n\n{answer}",
        "{draft}\n\nHmm, that is too much weather. Let me try again:\n{answer}",
        "Entwurf:\n{draft}\n\nEndgültige Liste:\n{answer}",
        "Brouillon :\n{draft}\n\nListe finale :\n{answer}",
        "Borrador:\n{draft}\n\nLista final:\n{answer}",
        "Черновик:\n{draft}\n\nИтоговый список:\n{answer}",
        "草稿：\n{draft}\n\n最终列表：\n{answer}",
        "下書き：\n{draft}\n\n最終リスト：\n{answer}",
        "초안:\n{draft}\n\n최종 목록:\n{answer}",
    ],
)
def test_a_draft_before_the_answer_gives_no_row(shape: str, draft: str) -> None:
    parsed = read(shape.format(draft=draft, answer=LIST))
    assert parsed.kept == (SEA, TIDES)
    assert STORMS in parsed.rest
    assert RAIN in parsed.rest


@pytest.mark.parametrize(
    "opening", ["<think>\n", "<|channel|>analysis<|message|>", "analysisWe need tasks.\n", "Thinking...\n", "[THINK]"]
)
def test_thinking_without_an_end_gives_no_row(opening: str) -> None:
    parsed = read(opening + LIST)
    assert parsed.kept == ()
    assert parsed.stumbled_over
    assert SEA in parsed.rest


def test_a_list_that_is_written_twice_without_a_word_between_is_uncertain() -> None:
    parsed = read(f"9. {STORMS}\n10. {RAIN}\n\n{LIST}")
    assert parsed.kept == ()


@pytest.mark.parametrize("beginning", ["Maybe write", "Perhaps write", "Something about", "也许写"])
def test_an_item_that_weighs_an_idea_is_no_task(beginning: str) -> None:
    assert read(f"9. {beginning} a short poem about storms.\n10. {TIDES}").kept == (TIDES,)


@pytest.mark.parametrize(
    "item",
    [
        "Explain why a reply may hold the word assistant at its end.",
        "Plan the final exam: list its topics.",
        "Say why analysis helps.",
    ],
)
def test_a_task_about_such_words_is_kept_whole(item: str) -> None:
    assert read(f"9. {item}\n10. {TIDES}").kept == (item, TIDES)


def test_a_task_about_the_marks_themselves_is_not_torn() -> None:
    item = "Explain what </think> and <think> mean in a reply."
    parsed = read(f"9. {item}\n10. {TIDES}")
    assert parsed.kept == (TIDES,)
    assert parsed.rejected[0][0] == item


def test_a_category_of_final_exams_takes_nothing_back() -> None:
    assert read(f"Warm-up:\n1. {SEA}\n\nFinal exam questions:\n1. {TIDES}").kept == (SEA, TIDES)


@pytest.mark.parametrize(
    "piece", ["<think>\n", "</think> ", "assistantfinal", "Final: 9. ", "Wait\n1. x\n", "the the "]
)
def test_a_megabyte_of_thinking_is_read_in_linear_time(piece: str) -> None:
    started = time.process_time()
    without_thinking(piece * (1_000_000 // len(piece)))
    assert time.process_time() - started < 10


def test_looking_for_a_mark_s_words_first_changes_nothing() -> None:
    pieces = [
        *("<think>", "</think>", "[THINK]", "[/TH\u0131NK]", "[/TH\u0130NK]", "</thin\u212a>", "◁think▷", "◁/think▷"),
        *("<|channel|>final", "<|channel|>analy\u017fis", "a\u017f\u017fistant final", "assistantfinal", "Thinking..."),
        *("done thinking", "ANALYSISWe", "</rea\u017foning>", "</draft>", "<\u017fcratchpad>", "\n", " ", "a. ", "é"),
    ]
    rng, num_thought = random.Random(4), 0
    for _ in range(5_000):
        text = "".join(rng.choices(pieces, k=rng.randint(1, 5)))
        end = max((found.end() for found in instruction_drafts._ENDED.finditer(text)), default=0)
        begun = instruction_drafts._BEGUN.search(text, end)
        thought = text[:end] + (text[begun.start() :] if begun else "")
        assert without_thinking(text)[1] == thought, text
        num_thought += bool(thought)
    assert num_thought > 1_000
