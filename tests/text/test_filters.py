"""The heuristic filters of the profile `default`."""

import gzip
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastinstruct.records import Instance, Rejection, RejectReason
from fastinstruct.text import phrases
from fastinstruct.text.filters import InstructionFilter, keyword_pattern, num_words
from fastinstruct.text.seeds import packaged_seeds
from fastinstruct.text.sifting import sift, sift_instances
from places import SHARED

DATA = SHARED / "data"
FILTER = InstructionFilter(
    keywords=("image", "images", "map", "go to", "video", "图片"), prompt_phrases=("Here is a list of tasks.",)
)


def reason(text: str, in_context: tuple[str, ...] = ()) -> str | None:
    verdict = FILTER.judge(text, in_context)
    return None if verdict is None else verdict.reason.value


def one(given: str, output: str) -> Instance:
    return Instance(input=given, output=output)


def reasons(*instances: Instance, max_instances: int = 5) -> list[str]:
    return [rejection.reason.value for _, rejection in sift_instances(instances, max_instances).rejected]


@given(st.from_regex(phrases._INSTRUCTION_LEAK), st.from_regex(phrases._INSTANCE_LEAK))
def test_whatever_the_patterns_of_leaks_match_is_found(instruction: str, instance: str) -> None:
    assert phrases.leaks_into_instruction(instruction)
    assert phrases.leaks_into_instance(instance)


@pytest.mark.parametrize("text", ["_", "...", "-_-\n", "\n", "！"])
def test_an_instruction_without_a_word_is_a_leak(text: str) -> None:
    assert phrases.leaks_into_instruction(text)


# Instructions


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", 0),
        ("Write a poem, please - now!", 6),
        ("Schreibe ein Gedicht über Köln.", 5),
        ("你好", 2),
        ("请写一首诗", 4),
        ("请用Python写一首诗。", 5),
        ("写一首关于 spring 的诗", 6),
        ("ひらがなで書く", 4),
        ("เขียนบทกวี", 2),
        ("한국어로 시를 쓰세요", 3),
        ("Напиши стихотворение о море", 4),
    ],
)
def test_words_are_counted_in_every_script(text: str, words: int) -> None:
    assert num_words(text) == words


def test_fewer_than_four_words_are_too_short_and_more_than_150_too_long() -> None:
    assert reason("Write a poem") == "too_short"
    assert reason("Write a poem now") is None
    words = [f"word{number}" for number in range(151)]
    assert reason(" ".join(words[:150])) is None
    assert reason(" ".join(words)) == "too_long"


def test_a_chinese_instruction_of_ten_characters_passes_and_a_greeting_does_not() -> None:
    assert reason("请写一首关于春天的诗") is None
    assert reason("你好") == "too_short"
    assert reason("写诗" * 112 + "吧") is None
    assert reason("写诗" * 113) == "too_long"


def test_nothing_is_empty() -> None:
    assert reason("") == reason(" \n") == "empty"


@pytest.mark.parametrize(
    "text", ["Describe this image in words.", "Describe these IMAGES now.", "Please go  to the shop."]
)
def test_keywords_are_whole_words_in_any_case(text: str) -> None:
    assert reason(text) == "keyword"


def test_words_that_contain_a_keyword_pass() -> None:
    assert reason("Imagine mapping the imagery now.") is None


def test_keywords_of_scripts_without_spaces_need_no_boundary() -> None:
    assert reason("请描述这张图片的内容") == "keyword"


def test_no_keywords_find_nothing() -> None:
    assert keyword_pattern(()).search("anything") is None
    assert keyword_pattern((" ",)).search("any thing") is None


@given(
    st.lists(st.text("aB c图カ-+ſK", max_size=4), max_size=4).map(tuple), st.text("aAbB cC图カ-+sSſkK\n", max_size=12)
)
def test_many_keywords_find_what_each_finds_by_itself(keywords: tuple[str, ...], text: str) -> None:
    each = [keyword_pattern((keyword,)).search(text) is not None for keyword in keywords]
    assert (keyword_pattern(keywords).search(text) is not None) == any(each)


def test_keywords_are_no_patterns() -> None:
    assert keyword_pattern(("c++",)).search("Learn C++ now.") is not None
    assert keyword_pattern(("c++",)).search("Learn ccc now.") is None


@pytest.mark.parametrize("text", ["Write a program that sorts.", "write a Program to sort it"])
def test_write_a_program_is_rejected(text: str) -> None:
    assert reason(text) == "write_a_program"


@pytest.mark.parametrize("text", ['"Why" is what word class?', "- Write a poem now.", "(Optional) write a poem."])
def test_an_instruction_that_starts_with_punctuation_is_rejected(text: str) -> None:
    assert reason(text) == "punctuation"


def test_other_scripts_may_start_an_instruction() -> None:
    assert reason("Écris un poème sur la mer.") is None
    assert reason("《红楼梦》的作者是谁？") is None
    assert reason("¿Cuál es la capital de Francia?") is None


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't assist with that request.",
        "I’m sorry, I cannot help you with this.",
        "Sorry, but I am unable to provide a list.",
        "I cannot fulfill this request at all.",
        "I can't help you with that.",
        "As an AI language model, I do not have feelings.",
        "As an AI, I have no opinions on it.",
        "Unfortunately, I am not able to generate that.",
        "Lo siento, pero no puedo ayudarte con eso.",
        "Desculpe, mas não posso ajudar com isso.",
        "Mi dispiace, ma non posso farlo ora.",
        "Je suis désolé, mais je ne peux pas le faire.",
        "Es tut mir leid, aber ich kann nicht helfen.",
        "Als KI-Sprachmodell habe ich keine Meinung dazu.",
        "Извините, но я не могу помочь вам.",
        "抱歉，我无法完成这个请求。",
        "作为一个人工智能语言模型，我没有感情。",
        "申し訳ございませんが、その質問にはお答えできません。",
        "죄송하지만 이 요청은 도와드릴 수 없습니다.",
    ],
)
def test_refusals_are_rejected_in_many_languages(text: str) -> None:
    assert reason(text) == "refusal"


@pytest.mark.parametrize(
    "text",
    [
        "Explain why I can't sleep at night.",
        "Write an email that says I'm sorry, but I can't come.",
        "As an AI researcher, explain what a loss is.",
        "Respond as an AI language model would.",
        "Translate into French: I cannot help it",
    ],
)
def test_instructions_about_refusals_pass(text: str) -> None:
    assert reason(text) is None


def test_an_instruction_from_the_prompt_is_an_echo_whatever_its_case_and_white_space() -> None:
    shown = ("Name three  cities in Peru.", "Sort the words.")
    assert reason("name three cities in PERU", shown) == "echo"
    assert reason("Name four cities in Peru.", shown) is None


def test_a_line_of_our_prompt_is_an_echo() -> None:
    assert reason("Here is a list of tasks:") == "echo"
    assert reason("Here is a list of tasks. Write more.") == "echo"


@pytest.mark.parametrize(
    "text",
    [
        "Sort the words. Input: b a",
        "Sort the words. Output: a b",
        "Sort the words. Task: Add them.",
        "Sort the words. Class label: sorted",
        "Sort the words. Example 1: b a",
        "Sort the words now.<|endoftext|>",
        "Sort the words now.<|im_end|>",
        "Sort [INST] the words now.",
        "Sort the words now.</s>",
        "Sort the words now.<start_of_turn>user",
        "Do this now: {instruction}",
        "Write a letter to [Your name].",
        "Write about [insert topic here] now.",
        "Sort the words: <input>",
        "… … … …",
    ],
)
def test_pieces_of_a_prompt_are_rejected(text: str) -> None:
    assert reason(text) == "template_leak"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Write a letter to [Customer Name] about it.", "placeholder"),
        ("Review this page now: <web page with a review>", "placeholder"),
        ("Sort the words now. Let me know if you need more!", "remark"),
        ("Here are eight new tasks for you:", "remark"),
        ("Sort the words now. 10. Add the numbers.", "marker"),
        ("9. Sort the words now please.", "marker"),
        ("Sort the words now. Answer: a b", "marker"),
        ("User: sort the words for me.", "marker"),
        ("Sort sort sort sort the words.", "repetition"),
    ],
)
def test_noise_of_chat_models_is_rejected_with_its_reason(text: str, expected: str) -> None:
    assert reason(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Replace the <mask> with a word.",
        "Fix the link [home](https://example.org) in this page.",
        "Give the items of [a, b, c] in reverse.",
        "Please let me know your thoughts on it.",
        'Say "I hope you have a nice day" in French.',
        "Classification Task: which fruit is it?",
        "Give the input and output of it.",
        "Explain the example 1 + 1 = 2.",
        "Explain what the tag <b> does.",
        "Solve {x + 1} for all x.",
        "Sort the list [3, 1, 2] now.",
    ],
)
def test_words_that_only_look_like_markers_pass(text: str) -> None:
    assert reason(text) is None


def test_the_first_reason_that_applies_is_given() -> None:
    assert reason("Input: image") == "too_short"
    assert reason("Write a program that draws an image.") == "keyword"
    assert reason("- Here is an input: <input>") == "punctuation"


def test_every_packaged_seed_passes() -> None:
    assert [task.instruction for task in packaged_seeds() if reason(" ".join(task.instruction.split()))] == []


def test_hardly_any_human_checked_instruction_is_taken_for_a_refusal_or_a_leak() -> None:
    path = DATA / "alpaca_52k.jsonl.gz"
    if not path.exists():
        pytest.skip("shared/data/alpaca_52k.jsonl.gz is not next to this checkout")
    plain = InstructionFilter(min_words=0)
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for _, line in zip(range(10_000), lines, strict=False)]
    rejected = [row for row in rows if plain.judge(" ".join(row["instruction"].split()))]
    assert len(rejected) <= 10


@settings(deadline=None)
@given(text=st.text(), shown=st.lists(st.text(), max_size=3))
def test_any_text_gets_a_verdict(text: str, shown: list[str]) -> None:
    assert FILTER.judge(text, shown) == FILTER.judge(text, shown)
    assert num_words(text) >= 0


@pytest.mark.parametrize(
    "piece", ["I can", "申し訳ありませんが", "a[Yours", "a <input ", "a<|a", " ", "Task ", "image", "诗a"]
)
def test_a_megabyte_of_anything_gets_a_verdict(piece: str) -> None:
    wide = InstructionFilter(min_words=0, max_words=10**9, keywords=("go to",))
    text = piece * (1_000_000 // len(piece))
    verdict = wide.judge(text)
    assert verdict is None or verdict.reason in {RejectReason.EMPTY, RejectReason.REPETITION, RejectReason.TOO_LONG}
    assert reasons(one(text, "x" + text)) in ([], ["repetition"], ["placeholder"], ["refusal"])


# Instances


def test_sound_instances_are_kept_in_order() -> None:
    instances = (one("b", "B"), one("", "x"), one("a", "A"), one("", "y"))
    sifted = sift_instances(instances)
    assert sifted.kept == instances
    assert sifted.rejected == ()


@pytest.mark.parametrize(
    ("instance", "expected"),
    [
        (one("a", "a"), "input_equals_output"),
        (one("a", ""), "empty_output"),
        (one("", ""), "empty_output"),
        (one("List:", "a"), "trailing_colon"),
        (one("a", "The list is: "), "trailing_colon"),
        (one("a", "答案是："), "trailing_colon"),
        (one("a", "I'm sorry, but I cannot help with that."), "refusal"),
        (one("a", "b<|im_end|>"), "template_leak"),
        (one("a", "Class label: b"), "template_leak"),
        (one("[Your text here]", "b"), "placeholder"),
        (one("", "..."), "placeholder"),
        (one("a", "<insert answer>"), "placeholder"),
        (one("a", "N/A"), "empty_output"),
        (one("a", "(no output)"), "empty_output"),
        (one("a", "无输出"), "empty_output"),
        (one("a", "Sure! Here are some examples:"), "remark"),
        (one("Sure! Here are some examples:", "b"), "remark"),
        (one("a", "b\n\nLet me know if you need more examples!"), "remark"),
        (one("a", "The the the the the"), "repetition"),
        (one("a", "Row the boat.\n" * 6), "repetition"),
        (one("a", "Please provide the text you want me to summarize."), "refusal"),
        (one("a", "请提供您要翻译的文本。"), "refusal"),
    ],
)
def test_an_unsound_instance_is_rejected_with_its_reason(instance: Instance, expected: str) -> None:
    sifted = sift_instances([one("q", "r"), instance])
    assert sifted.kept == (one("q", "r"),)
    assert sifted.rejected == ((instance, Rejection(reason=RejectReason(expected))),)


@pytest.mark.parametrize(
    "instance",
    [
        one("Task: clean a board", "Wipe it."),
        one("def f(x):\n  return '{input}'", "Input: x\nOutput: x"),
        one("", "We're sorry, but the shop is closed."),
        one("a: b", "c"),
    ],
)
def test_instances_may_hold_what_instructions_may_not(instance: Instance) -> None:
    assert sift_instances([instance]).kept == (instance,)


@pytest.mark.parametrize(
    "text",
    [
        "<web page with a layout for a shop>",
        "[image of a shop window]",
        "[link to the article]",
        "<code snippet>",
        "[link]",
        "Dear [Customer Name], your [product] is here.",
        "Thanks!\n<customer reply here>",
        "Yours,\n[Your Name]",
        "Hi [Name],",
        "(image of a cat)",
        "At [insert place here] now.",
        "Hello [Recipient's Name]!",
        "<text>",
        "Dear <your name>,",
    ],
)
def test_a_hole_to_fill_in_is_no_content_unless_the_task_asks_for_one(text: str) -> None:
    assert reasons(one("a", text)) == reasons(one(text, "a")) == ["placeholder"]
    asked = sift_instances([one("a", text)], instruction="Write a letter template with placeholders.")
    assert asked.rejected == ()


@pytest.mark.parametrize(
    "text",
    [
        "<br>",
        "<p>",
        "<img src='a.png'>",
        "[1, 2]",
        "[x]",
        "[]",
        "[text](http://a.b)",
        "List<String> x",
        "a[name]",
        "He [sic] said",
        "[Verse 1]\nThe sea",
        "<name>Ann</name>",
        "[apple, pear]",
        "[True]",
        "<!DOCTYPE html>",
        "- [ ] buy milk\n- [x] cook",
        "[10:30] Ann: hi",
        "x < 5 and y > 3",
        "Smith [1] says so.",
    ],
)
def test_brackets_that_are_no_holes_are_content(text: str) -> None:
    assert reasons(one("a", text)) == []


@pytest.mark.parametrize(
    "text",
    [
        "Please provide your feedback by Friday.",
        "I can't see the stage from here.",
        "Sorry, we're out of bread.",
        "I am an AI researcher in Leeds.",
        "There is no sugar left.",
        "Leider ist der Zug verspätet.",
        "Please give the cat some water.",
        "Let me know if you can come.\n\nBest regards,\nAnn",
        "Ha ha ha ha, said the jackdaw.",
        "None",
        "No",
        "Of course! Bring the receipt.",
    ],
)
def test_what_only_begins_like_a_refusal_or_a_remark_is_content(text: str) -> None:
    assert reasons(one("a", text)) == []


@pytest.mark.parametrize(
    "text",
    [
        "As a language model, I cannot browse the internet.",
        "I'm an AI language model and do not have feelings.",
        "I'm sorry, but no input was provided.",
        "Unfortunately, I can't view images.",
        "I don't have access to real-time data.",
        "It looks like the article is missing.",
        "It seems you haven't provided any text.",
        "Could you please provide the sentence?",
        "Bitte gib mir den Text, den ich zusammenfassen soll.",
        "Leider kann ich keine Bilder ansehen.",
        "Veuillez fournir le texte à résumer.",
        "Malheureusement, je ne peux pas voir les images.",
        "Lamentablemente, no puedo ver imágenes.",
        "Infelizmente, não consigo ver imagens.",
        "Purtroppo non ho accesso a dati in tempo reale.",
        "К сожалению, у меня нет доступа к интернету.",
        "很抱歉，我无法查看图片。",
        "申し訳ありませんが、画像を見ることはできません。",
        "要約する文章を提供してください。",
        "죄송하지만 이미지를 볼 수 없습니다.",
        "للأسف، لا يمكنني عرض الصور.",
        "क्षमा करें, मैं इसमें मदद नहीं कर सकता।",
    ],
)
def test_an_output_that_answers_the_user_instead_of_the_task_is_a_refusal(text: str) -> None:
    assert reasons(one("a", text)) == ["refusal"]


def test_a_task_that_asks_for_repetition_may_have_it() -> None:
    assert sift_instances([one("", "no no no no no more")], instruction="Repeat the word five times.").rejected == ()


def test_one_input_with_two_outputs_rejects_all_instances() -> None:
    conflict = "conflicting_outputs"
    assert reasons(one("a", "A"), one("b", "B"), one("a", "other")) == [conflict, conflict, conflict]
    assert reasons(one("a", "A"), one("a", ""), one("a", "other"), one("c", "c")) == [
        conflict,
        "empty_output",
        conflict,
        "input_equals_output",
    ]


def test_an_unsound_instance_causes_no_conflict() -> None:
    assert reasons(one("a", "A"), one("a", "a:")) == ["trailing_colon"]


def test_of_duplicates_the_first_is_kept() -> None:
    sifted = sift_instances([one("a", "A"), one("", "x"), one("a", "A"), one("", "x")])
    assert sifted.kept == (one("a", "A"), one("", "x"))
    assert [rejection.reason.value for _, rejection in sifted.rejected] == ["duplicate", "duplicate"]


def test_the_first_five_are_kept_and_the_others_are_surplus() -> None:
    instances = [one(str(number), "x") for number in range(7)]
    sifted = sift_instances([instances[0], *instances])
    assert sifted.kept == tuple(instances[:5])
    assert [rejection.reason.value for _, rejection in sifted.rejected] == ["duplicate", "surplus", "surplus"]


def test_five_drawn_at_random_stay_in_order() -> None:
    instances = [one(str(number), "x") for number in range(9)]
    sifted = sift(instances, lambda _: None, 5, random.Random(3))
    assert [int(instance.input) for instance in sifted.kept] == [2, 3, 4, 7, 8]
    assert len(sifted.rejected) == 4


@settings(deadline=None)
@given(
    texts=st.lists(st.tuples(st.sampled_from(["", "a", "b", "c:"]), st.sampled_from(["", "a", "x", "y"])), max_size=8),
    limit=st.integers(0, 6),
)
def test_every_instance_is_either_kept_or_rejected(texts: list[tuple[str, str]], limit: int) -> None:
    instances = [one(*text) for text in texts]
    sifted = sift_instances(instances, limit)
    rejected = [instance for instance, _ in sifted.rejected]
    assert sorted(map(str, [*sifted.kept, *rejected])) == sorted(map(str, instances))
    assert len(sifted.kept) <= limit
    assert len(set(sifted.kept)) == len(sifted.kept)
