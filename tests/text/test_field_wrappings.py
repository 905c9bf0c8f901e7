"""What models write into a field, around it or instead of it, in text and in JSON alike, and what only looks so."""

import json
from typing import Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastinstruct.records import Api, FinishReason, Instance
from fastinstruct.text.fields import unwrapped_alike
from fastinstruct.text.parsed import Parsed
from fastinstruct.text.parsing import parse_classification, parse_instances, parse_instructions
from fastinstruct.text.sifting import sift_instances
from fastinstruct.text.structured import read_examples

TASK = "Summarize the text."
PAIRS = list[tuple[str, str]]


def sifted(found: Parsed[Instance], task: str) -> PAIRS:
    return [(one.input, one.output) for one in sift_instances(found.kept, instruction=task).kept]


def from_text(*pairs: tuple[str, str], task: str = TASK) -> PAIRS:
    """What is kept of these pairs as a chat model writes them."""
    reply = "\n\n".join(f"Example {n}\nInput: {given}\nOutput: {output}" for n, (given, output) in enumerate(pairs, 1))
    found = parse_instances(reply, is_classification=False, finish_reason=FinishReason.STOP, instruction=task)
    return sifted(found, task)


def from_json(*pairs: tuple[str, str], task: str = TASK) -> PAIRS:
    reply = json.dumps({"examples": [{"input": given, "output": output} for given, output in pairs]})
    return sifted(read_examples(reply, is_torn=False, instruction=task), task)


def labelled(*pairs: tuple[str, str], task: str = "Is the review positive?") -> PAIRS:
    reply = "\n\n".join(f"Class label: {label}\n{text}" for text, label in pairs)
    found = parse_instances(reply, is_classification=True, finish_reason=FinishReason.STOP, instruction=task)
    return sifted(found, task)


class Read(Protocol):
    def __call__(self, *pairs: tuple[str, str], task: str = TASK) -> PAIRS: ...


BOTH = pytest.mark.parametrize("read", [from_text, from_json])
WRAPPINGS = [("*", "*"), ("**", "**"), ("_", "_"), ("`", "`"), ('"', '"'), ("“", "”"), ("«", "»"), ("```", "```")]


@BOTH
@pytest.mark.parametrize(("opening", "closing"), WRAPPINGS)
@pytest.mark.parametrize("place", [0, 1])
def test_one_wrapped_field_leaves_the_others_as_they_are(read: Read, opening: str, closing: str, place: int) -> None:
    pairs = [("a cat", "Cat sat."), ("a dog", "Dog ran.")]
    for field in (0, 1):
        told = list(pairs)
        given, output = (f"{opening}{v}{closing}" if n == field else v for n, v in enumerate(pairs[place]))
        told[place] = (given, output)
        assert set(read(*told)) <= set(pairs)
        assert pairs[1 - place] in read(*told)


def test_one_wrapped_text_leaves_the_other_labelled_ones_as_they_are() -> None:
    pairs = [("*Great film*", "positive"), ("Bad film indeed", "negative")]
    assert labelled(*pairs) == pairs[1:]


FIELDS = st.lists(st.text("ab c*_`\"'“”«»", max_size=8).map(str.strip), min_size=1, max_size=4)


@given(FIELDS)
def test_what_is_certain_loses_nothing_but_the_same_pair_of_signs(fields: list[str]) -> None:
    bare, sure = unwrapped_alike(fields, TASK)
    for field, text, is_sure in zip(fields, bare, sure, strict=True):
        taken = field.partition(text)[::2] if text else ("", "")
        if is_sure and field and text != field:
            assert all(side.strip() for side in taken)
            assert not any(sign.isalnum() for side in taken for sign in side)


@BOTH
@pytest.mark.parametrize("name", ["__init__", "_private_", "__name__"])
def test_a_name_of_python_keeps_its_underscores(read: Read, name: str) -> None:
    assert read((name, "A special method."), task="What is it?") == [(name, "A special method.")]


@BOTH
@pytest.mark.parametrize(
    "output",
    [
        "<think>Short, I guess.</think>Cat sat.",
        "<thinking>Short.</thinking>\nCat sat.",
        "[THINK]Short.[/THINK] Cat sat.",
        "◁think▷Short.◁/think▷Cat sat.",
        "Short, I guess.</think>\nCat sat.",
        "<scratchpad>Short.</scratchpad> Cat sat.",
        "<analysis>Short.</analysis>\nCat sat.",
    ],
)
def test_a_thought_at_the_beginning_of_a_field_is_no_data(read: Read, output: str) -> None:
    assert read(("a cat", output)) in ([], [("a cat", "Cat sat.")])


@pytest.mark.parametrize("name", ["Reasoning", "Reason", "Thought", "Analysis", "Explanation", "Rationale", "Denken"])
def test_a_thought_between_input_and_output_is_no_input(name: str) -> None:
    assert from_text((f"a cat\n{name}: It is short.", "Cat sat.")) == []
    assert from_text((f"a cat\n**{name}:** It is short.", "Cat sat.")) == []


@BOTH
@pytest.mark.parametrize(
    "output",
    [
        "Cat sat.\n\nExample 2:\nInput: a dog\nOutput: Dog ran.",
        "Cat sat.\n\n**Example 2**\n**Input:** a dog\n**Output:** Dog ran.",
        "Cat sat.\n\nTask: Write a haiku.\nOutput: An old pond.",
        "Cat sat.\n\nInput: a dog\nOutput: Dog ran.",
        "Cat sat.\n\nExplanation: It is short.",
    ],
)
def test_what_follows_an_answer_is_no_part_of_it(read: Read, output: str) -> None:
    assert read(("a cat", output)) in ([], [("a cat", "Cat sat.")], [("a cat", "Cat sat."), ("a dog", "Dog ran.")])


def test_a_pair_in_an_input_of_json_is_no_input() -> None:
    assert from_json(("Input: a cat\nOutput: Cat sat.", "Cat sat down.")) == []


def test_an_answer_that_shows_an_example_is_kept_in_json() -> None:
    output = "Input: 3\nOutput: 9\nThis is how the function works."
    assert from_json(("square", output), task="Show an example of the function.") == [("square", output)]


@BOTH
@pytest.mark.parametrize(
    "refusal",
    [
        "很抱歉，作为一个AI语言模型，我不能回答这个问题。",
        "I apologize, but I don't feel comfortable with this.",
        "I don't feel comfortable writing that.",
        "I won't be able to help with that request.",
        "I must decline this request.",
        "I have to decline.",
        "I cannot fulfill this request.",
        "I'm not able to do that.",
        "I can't create content like that.",
        "Sorry, but I can't do this.",
        "我无法满足您的请求。",
        "我不能提供这样的内容。",
        "对不起，我无法完成这个任务。",
        "没有提供文本，请提供要总结的文本。",
        "您没有提供文本。",
        "Je ne suis pas en mesure de répondre à cette demande.",
        "Je ne peux pas répondre à cette demande.",
        "No puedo cumplir con esa solicitud.",
        "No puedo ayudarte con eso.",
        "Não posso ajudar com isso.",
        "Non posso aiutarti con questa richiesta.",
        "Ich kann diese Anfrage nicht erfüllen.",
        "Ich kann dabei nicht helfen.",
        "Я не могу помочь с этим запросом.",
        "Я не могу выполнить этот запрос.",
        "申し訳ありませんが、そのリクエストにはお応えできません。",
        "そのご要望にはお応えできません。",
        "죄송합니다. 그 요청은 도와드릴 수 없습니다.",
        "I'm really sorry you're feeling this way, but I'm unable to provide the help that you need.",
        "As an AI developed by a company, I do not have access to it.",
        "해당 요청을 수행할 수 없습니다.",
        "لا أستطيع المساعدة في هذا الطلب.",
        "لا يمكنني تلبية هذا الطلب.",
        "मैं इस अनुरोध में सहायता नहीं कर सकता।",
        "मैं इसमें मदद नहीं कर सकता।",
    ],
)
def test_a_refusal_is_no_answer(read: Read, refusal: str) -> None:
    assert read(("a cat", refusal)) == []


@BOTH
@pytest.mark.parametrize(
    "output",
    [
        "I cannot wait to see you on Sunday, and I apologize for the late reply.",
        "I can't help falling in love with you.",
        "We can't fulfill your order this week.",
        "Je ne peux pas venir demain.",
        "Ich kann nicht schlafen.",
        "No puedo esperar más.",
        "我不能去上班，因为我生病了。",
        "Я не могу уснуть.",
    ],
)
def test_people_who_cannot_do_something_are_content(read: Read, output: str) -> None:
    assert read(("a cat", output)) == [("a cat", output)]


def test_a_refusal_is_no_text_to_label() -> None:
    pairs = [("I'm sorry, but I can't write that.", "positive"), ("What a lovely film.", "positive")]
    assert labelled(*pairs) in ([], pairs[1:])


def test_an_announced_text_is_no_text_to_label() -> None:
    pairs = [("Here is a negative review:\nBad film.", "negative"), ("What a lovely film.", "positive")]
    assert labelled(*pairs) in ([], pairs[1:])


@BOTH
@pytest.mark.parametrize("label", ["<label>", "<class>", "<sentiment>", "<answer>"])
def test_a_hole_is_no_label(read: Read, label: str) -> None:
    assert labelled(("Bad film.", label)) == []
    assert read(("Bad film.", label)) == []


@BOTH
@pytest.mark.parametrize(
    "output",
    [
        "もちろんです！要約は以下の通りです：\n\n猫が座った。",
        "当然可以！以下是总结：猫坐着。",
        "没问题！这是总结：\n猫坐着。",
        "Claro, aquí tienes el resumen:\nEl gato se sentó.",
        "Natürlich! Hier ist die Zusammenfassung:\nDie Katze saß.",
        "Bien sûr ! Voici le résumé :\nLe chat était assis.",
        "Конечно! Вот краткое изложение:\nКот сидел.",
        "물론입니다! 요약은 다음과 같습니다:\n고양이가 앉았다.",
        "بالطبع! إليك الملخص:\nجلست القطة.",
        "ज़रूर! यहाँ सारांश है:\nबिल्ली बैठ गई।",
        "Cat sat. Let me know if you want a shorter one.",
        "Cat sat. Let me know if you'd like a longer version!",
        "Cat sat.\n\nI hope you like this poem!",
        "Cat sat. I hope you like it!",
        "猫坐着。\n\n如果需要更短的版本，请告诉我。",
        "猫。\n\nもっと例が必要でしたらお知らせください。",
        "고양이.\n\n더 필요하시면 알려주세요.",
        "قطة.\n\nإذا كنت بحاجة إلى المزيد، أخبرني.",
    ],
)
def test_what_is_said_around_an_answer_is_no_part_of_it(read: Read, output: str) -> None:
    said = (
        "もちろん",
        "当然",
        "没问题",
        "Claro",
        "Natürlich",
        "Bien",
        "Конечно",
        "물론",
        "بالطبع",
        "ज़रूर",
        "know",
        "hope",
        "告诉我",
        "知ら",
        "알려",
        "أخبرني",
    )
    assert not [pair for pair in read(("a cat", output)) if any(word in pair[1] for word in said)]


@BOTH
@pytest.mark.parametrize("tag", ["output", "answer", "response", "result", "Output"])
def test_a_tag_around_all_of_an_answer_goes(read: Read, tag: str) -> None:
    assert read(("a cat", f"<{tag}>Cat sat.</{tag}>")) == [("a cat", "Cat sat.")]
    assert read(("<input>a cat</input>", f"<{tag}>\nCat sat.\n</{tag}>")) == [("a cat", "Cat sat.")]


@BOTH
def test_tags_are_content_where_the_task_is_about_them(read: Read) -> None:
    pair = ("Cat sat.", "<answer>Cat sat.</answer>")
    assert read(pair, task="Put XML tags around the text.") == [pair]


@BOTH
@pytest.mark.parametrize(
    "hole",
    [
        "Your summary here",
        "Insert summary here",
        "Insert your text here.",
        "Your answer goes here.",
        "Write your text here",
    ],
)
def test_words_that_stand_for_a_text_are_a_hole(read: Read, hole: str) -> None:
    assert read(("a cat", hole)) == []
    assert read((hole, "Cat sat.")) == []


@BOTH
def test_no_input_among_inputs_is_doubted(read: Read) -> None:
    pairs = [("None", "NoneType"), ("42", "int")]
    assert read(*pairs, task="Name the type.") in ([], pairs[1:])


@BOTH
def test_an_empty_input_among_inputs_is_one_that_the_task_needs_none_for(read: Read) -> None:
    if read is from_json:
        assert read(("", "One."), ("two", "Two.")) == [("", "One."), ("two", "Two.")]


def test_a_label_without_its_text_is_doubted() -> None:
    reply = '{"examples": [{"output": "good", "input": ""}, {"output": "bad", "input": "Bad film."}]}'
    found = read_examples(reply, is_torn=False, instruction="Is it good?", is_classification=True)
    assert [(one.input, one.output) for one in found.kept] == [("Bad film.", "bad")]


@BOTH
def test_no_input_in_every_example_is_none(read: Read) -> None:
    assert read(("None", "One."), ("N/A", "Two.")) == [("", "One."), ("", "Two.")]


@pytest.mark.parametrize(
    "heading",
    ["### {}. Cat", "## {}) Cat", "**{}. Cat**", "### **{}. Cat**", "#### {}: Cat", "**{}. Cat:**", "{}. **Cat**"],
)
def test_numbered_titles_begin_examples(heading: str) -> None:
    pairs = [("a cat", "Cat sat."), ("a dog", "Dog ran.")]
    reply = "\n\n".join(
        f"{heading.format(n)}\n**Input:** {given}\n**Output:** {output}" for n, (given, output) in enumerate(pairs, 1)
    )
    found = parse_instances(reply, is_classification=False, finish_reason=FinishReason.STOP, instruction=TASK)
    assert sifted(found, TASK) == pairs


def test_numbered_titles_in_an_answer_are_content() -> None:
    output = "### 1. Cats\nThey sit.\n\n### 2. Dogs\nThey run."
    assert from_text(("animals", output), task="Describe them.") == [("animals", output)]


def test_a_bold_numbered_item_may_hold_an_example_as_bullets() -> None:
    pairs = [("a cat", "Cat sat."), ("a dog", "Dog ran.")]
    reply = "\n\n".join(
        f"{n}. **{given} story**\n   - **Input:** {given}\n   - **Output:** {output}"
        for n, (given, output) in enumerate(pairs, 1)
    )
    found = parse_instances(reply, is_classification=False, finish_reason=FinishReason.STOP, instruction=TASK)
    assert sifted(found, TASK) == pairs


@pytest.mark.parametrize("between", [" - ", ": ", " – ", " | ", ", "])
@pytest.mark.parametrize("heading", ["**Example {}**", "**Example {}:**", "Example {}", "### Example {}"])
def test_a_heading_and_a_marker_may_share_a_line(heading: str, between: str) -> None:
    pairs = [("a cat", "Cat sat."), ("a dog", "Dog ran.")]
    reply = "\n\n".join(
        f"{heading.format(n)}{between}**Input:** {given}\n**Output:** {output}"
        for n, (given, output) in enumerate(pairs, 1)
    )
    found = parse_instances(reply, is_classification=False, finish_reason=FinishReason.STOP, instruction=TASK)
    assert sifted(found, TASK) in (pairs, [])


@BOTH
def test_an_empty_fence_is_empty(read: Read) -> None:
    assert read(("```\n```", "Cat sat.")) == [("", "Cat sat.")]
    assert read(("a cat", "```\n```")) == []
    assert read(("a cat", "```\n\n```")) == []


@BOTH
@pytest.mark.parametrize(
    "said", ["Here is a summary:", "Here's the poem:", "以下是摘要：", "Voici le résumé :", "Вот ответ:"]
)
def test_a_line_that_hands_over_an_answer_is_no_part_of_it(read: Read, said: str) -> None:
    assert read(("a cat", f"{said}\nCat sat.")) == [("a cat", "Cat sat.")]
    assert read(("a cat", f"{said}\n\nCat sat.")) == [("a cat", "Cat sat.")]


def test_a_list_that_ends_with_an_offer_loses_the_offer() -> None:
    for end in ("\n\nLet me know if you need more!", "\nLet me know if you need more!"):
        assert from_text(("a cat", f"- sat\n- fell{end}")) in ([], [("a cat", "- sat\n- fell")])


def test_the_first_line_of_code_in_json_keeps_its_indentation() -> None:
    pair = ("    return x\n    # done", "def f(x):\n    return x")
    assert from_json(pair) == [pair]


LETTER = "Dear Ann,\n\nYour parcel leaves today.\n\nPlease let me know if you have any questions."


@BOTH
@pytest.mark.parametrize(
    ("task", "output"),
    [
        ("Write an email.", LETTER),
        ("Write a message to a customer.", "Your parcel leaves today. Feel free to ask if you have any questions."),
        ("Answer the customer.", "Hi Ann,\n\nIt leaves today.\n\nI hope this helps!\n\nBest,\nTom"),
        ("Write to Ann.", LETTER),
        ("Schreibe eine E-Mail.", "Hallo Anna,\n\nes klappt.\n\nBei Fragen melde dich gern."),
    ],
)
def test_a_letter_ends_as_letters_do(read: Read, task: str, output: str) -> None:
    assert read(("a parcel", output), task=task) in ([("a parcel", output)], [])


@BOTH
def test_a_letter_loses_what_is_said_about_the_examples(read: Read) -> None:
    said = f"{LETTER}\n\nLet me know if you need more examples!"
    assert read(("a parcel", said), task="Write an email.") in ([("a parcel", LETTER)], [])


@BOTH
@pytest.mark.parametrize(
    "end",
    ["\n\nI will stop here.", "\n\nTotal examples: 1", "\n[END]", "\n<END>", "\n\nEspero ter ajudado!", "\n---END---"],
)
def test_what_ends_a_reply_is_no_part_of_its_answer(read: Read, end: str) -> None:
    assert read(("a cat", f"Cat sat.{end}")) in ([], [("a cat", "Cat sat.")])


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("The answer is Yes.", True),
        ("The answer is: No", False),
        ("My answer is yes", True),
        ("It is a classification task: Yes", True),
        ("The answer is unclear.", None),
        ("The answer is not known", None),
    ],
)
def test_an_answer_in_a_sentence_is_read(reply: str, answer: bool | None) -> None:
    assert parse_classification(reply) is answer


@pytest.mark.parametrize(
    "task",
    [
        "I cannot come up with more tasks.",
        "I can't think of any more.",
        "I'm unable to continue the list.",
        "抱歉，作为一个AI语言模型，我不能帮助你。",
        "I have no ideas.",
        "I have no more tasks to add.",
        "Task 12 goes here",
        "Insert task here.",
    ],
)
def test_no_more_tasks_are_no_task(task: str) -> None:
    reply = f"9. Write a poem about the sea.\n10. {task}"
    for text in (reply, json.dumps({"tasks": ["Write a poem about the sea.", task]})):
        found = parse_instructions(text, api=Api.CHAT, first_number=9, max_items=8, finish_reason=FinishReason.STOP)
        assert found.kept == ("Write a poem about the sea.",)


def test_a_task_that_announces_a_text_is_not_kept_without_it() -> None:
    reply = "9. Write a poem about the sea:\n\nThe sea is blue\n\n10. Explain tides to children.\n11. Name three birds."
    found = parse_instructions(reply, api=Api.CHAT, first_number=9, max_items=8, finish_reason=FinishReason.STOP)
    assert "Write a poem about the sea:" not in found.kept
    assert len(found.kept) == 2
