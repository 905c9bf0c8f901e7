"""Replies of stage 3, as the profile `default` reads them: what is certain is kept, and nothing else."""

import importlib.util
import re
from collections.abc import Callable
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastinstruct.records import FinishReason, Instance
from fastinstruct.text.markup import cleaned
from fastinstruct.text.parsed import Parsed
from fastinstruct.text.parsing import parse_instances
from fastinstruct.text.sifting import sift_instances
from places import SHARED

STOP, LENGTH = FinishReason.STOP, FinishReason.LENGTH
REPLIES = SHARED / "data" / "replies"
DOG, CAT = ("The dog barks.", "El perro ladra."), ("The cat sleeps.", "El gato duerme.")


def parsed(
    text: str, finish_reason: FinishReason = STOP, instruction: str = "", *, is_classification: bool = False
) -> Parsed[Instance]:
    return parse_instances(
        text, is_classification=is_classification, finish_reason=finish_reason, instruction=instruction
    )


def pairs(text: str, finish_reason: FinishReason = STOP, instruction: str = "") -> list[tuple[str, str]]:
    return [(one.input, one.output) for one in parsed(text, finish_reason, instruction).kept]


def labelled(text: str, finish_reason: FinishReason = STOP) -> list[tuple[str, str]]:
    return [(one.output, one.input) for one in parsed(text, finish_reason, is_classification=True).kept]


def reasons(text: str, finish_reason: FinishReason = STOP, instruction: str = "") -> list[str]:
    return [reason.value for _, reason in parsed(text, finish_reason, instruction).rejected]


def squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


# The shared cases


def plan(name: str) -> ModuleType:
    path = next(iter(REPLIES.glob(f"{name}-*/plan.py")), None)
    if path is None:
        pytest.skip("shared/data/replies is not next to this checkout")
    spec = importlib.util.spec_from_file_location("plan", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    module.__dict__["chat"] = lambda content: {"choices": [{"message": {"content": content}}]}
    spec.loader.exec_module(module)
    return module


def case(name: str, stage: str = "input_first", count: int = 12) -> list[str]:
    """The replies of a case, each once."""
    found = [plan(name).reply(stage, n, {"max_tokens": 64}) for n in range(count)]
    texts = [one if isinstance(one, str) else one["choices"][0]["message"]["content"] for one in found]
    return list(dict.fromkeys(texts))


def sifted(text: str, finish_reason: FinishReason = STOP) -> list[tuple[str, str]]:
    """What is left after the filters, too."""
    return [(one.input, one.output) for one in sift_instances(parsed(text, finish_reason).kept).kept]


def test_a_class_label_under_its_text_is_that_texts() -> None:
    assert [labelled(reply) for reply in case("01", "output_first")] == [
        [
            ("Positive", "Sentence: I loved every minute of it."),
            ("Negative", "Sentence: The room was filthy and loud."),
            ("Neutral", "Sentence: It was acceptable, nothing more."),
        ]
    ]


@pytest.mark.parametrize("name", ["02", "03"])
def test_chinese_markers_are_markers(name: str) -> None:
    weather = [("今天天气很好。", "The weather is nice today."), ("外面下雨了。", "It is raining outside.")]
    assert [sifted(reply) for reply in case(name)] == [weather]


@pytest.mark.parametrize(
    ("name", "count", "expected"),
    [
        ("04", 4, [DOG, CAT]),
        ("06", 12, [("", "Waves fold into the evening and the harbour sleeps.")]),
        ("08", 1, [DOG, CAT]),
        ("25", 1, [DOG]),
        ("26", 2, [DOG]),
        ("27", 2, [DOG]),
        ("29", 4, [DOG]),
        ("40", 1, [DOG]),
    ],
)
def test_every_reply_of_a_case_gives_its_rows(name: str, count: int, expected: list[tuple[str, str]]) -> None:
    replies = case(name)
    assert len(replies) == count
    for reply in replies:
        assert sifted(reply, LENGTH if name == "40" else STOP) == expected


def test_a_closing_remark_is_no_part_of_the_output() -> None:
    assert [sifted(reply) for reply in case("07")] == [
        [("a quiet bay", "Still water holds the moon.")],
        [("", "Still water holds the moon.")],
        [("a bay", "Still water holds the moon.")],
        [("", "Still water holds the moon.")],
    ]


def test_lines_that_begin_task_inside_an_answer_are_the_answers() -> None:
    assert [sifted(reply) for reply in case("21")] == [
        [
            ("plan the launch", "Project plan\nTask: Design the logo\nOwner: Ann\nTask: Book the hall\nOwner: Bob"),
            ("plan the party", "Party plan\nTask: Order the cake\nOwner: Cy"),
        ]
    ]


def test_an_exercise_with_examples_is_not_torn_into_them() -> None:
    (reply,) = case("22")
    assert sifted(reply) == []
    assert set(reasons(reply)) == {"uncertain"}


def test_a_special_token_inside_content_cuts_nothing() -> None:
    (reply,) = case("23")
    (whole,) = parsed(reply).kept
    assert whole.output.endswith("<|im_end|>. The model then writes its own turn.")
    assert [rejection.reason.value for _, rejection in sift_instances([whole]).rejected] == ["template_leak"]


@pytest.mark.parametrize(("name", "reason"), [("28", "placeholder"), ("44", "refusal"), ("45", "empty_output")])
def test_every_reply_of_a_case_is_rejected_with_its_reason(name: str, reason: str) -> None:
    for reply in case(name):
        found = sift_instances(parsed(reply).kept)
        assert [rejection.reason.value for _, rejection in found.rejected] == [reason]


def test_the_title_of_an_example_is_no_part_of_its_input() -> None:
    greeting = ("Good morning.", "Buenos dias.")
    assert [sifted(reply) for reply in case("41")] == [[greeting, ("See you later.", "Hasta luego.")], [greeting]]


# Stage 3, input-first


def test_example_blocks_are_instances() -> None:
    reply = "Example 1\nInput: Python\nOutput: nohtyP\nExample 2\nInput: ab\ncd\nOutput:\ndc\n\nba\n\n"
    assert pairs(reply) == [("Python", "nohtyP"), ("ab\ncd", "dc\n\nba")]


def test_an_output_alone_needs_no_input() -> None:
    assert pairs("Output: 42\n\n") == [("", "42")]
    assert pairs("Example 1\nOutput: A poem.\nExample 2\nOutput: Another.") == [("", "A poem."), ("", "Another.")]


def test_text_without_an_output_marker_is_no_output() -> None:
    for reply in ("Roses are red.", "Here are some examples:\n\nInput: a", "Example 1\nA poem.\nExample 2\nAnother."):
        found = parsed(reply)
        assert found.is_unreadable
        assert found.stumbled_over.startswith("no output marker: “")
        assert found.rest == reply
    assert parsed("") == parsed(" \n") == Parsed()


@pytest.mark.parametrize(
    "reply",
    [
        "Example 1\nInput: a\nOutput: b\nExample 2\nInput: c\nOutput: d",
        "Example 1:\nInput: a\nOutput: b\n\nExample 2:\nInput: c\nOutput: d",
        "Example 1.\nInput 1: a\nOutput 1: b\nExample 2.\nInput 2: c\nOutput 2: d",
        "**Example 1**\n\n**Input:** a\n\n**Output:** b\n\n---\n\n**Example 2**\n\n**Input**: c\n\n**Output**: d\n---",
        "**Example 1**\n**Input: a**\n**Output: b**\n\n**Example 2**\n**Input: c**\n**Output: d**",
        "### Example 1\n#### Input\na\n#### Output\nb\n### Example 2\n#### Input:\nc\n#### Output:\nd",
        "Example 1: Input: a\nOutput: b\nExample 2: Input: c\nOutput: d",
        "Example 1 Input: a\nOutput: b\nExample 2 Input: c\nOutput: d",
        "Sure! Here are two:\n\nExample 1\nInput: a\nOutput: b\nExample 2\nInput: c\nOutput: d",
        "```\nExample 1\nInput: a\nOutput: b\nExample 2\nInput: c\nOutput: d\n```",
        "Here:\n```text\nExample 1\nInput: a\nOutput: b\n\nExample 2\nInput: c\nOutput: d\n```\n\nI hope this helps!",
        "Example 1\n```\nInput: a\nOutput: b\n```\nExample 2\n```\nInput: c\nOutput: d\n```",
        "Example 1\nInput：a\nOutput：b\nExample 2\nInput：c\nOutput：d",
        "Example 1\nInput: a\nOutput: b\nExample 2\nInput: c\nOutput: d\n\nTask: Next.\nExample 1\nInput: e\nOutput: f",
        "Example 1\r\nInput: a\r\nOutput: b\r\nExample 2\r\nInput: c\r\nOutput: d<|im_end|>",
        "1.\nInput: a\nOutput: b\n\n2.\nInput: c\nOutput: d",
        "**1.**\n**Input:** a\n**Output:** b\n\n**2.**\n**Input:** c\n**Output:** d",
        "1. Input: a\n   Output: b\n2. Input: c\n   Output: d",
        "Input 1: a\nOutput 1: b\nInput 2: c\nOutput 2: d",
        "Input: a\nOutput: b\n---\nInput: c\nOutput: d",
        "- **Example 1**\n  - Input: a\n  - Output: b\n- **Example 2**\n  - Input: c\n  - Output: d",
        "Example A\nInput: a\nOutput: b\nExample B\nInput: c\nOutput: d",
        "Example I\nInput: a\nOutput: b\nExample II\nInput: c\nOutput: d",
        "First example:\nInput: a\nOutput: b\n\nSecond example:\nInput: c\nOutput: d",
        "Example:\nInput: a\nOutput: b\n\nExample:\nInput: c\nOutput: d",
        "Example 1\nInput\na\nOutput\nb\n\nExample 2\nInput\nc\nOutput\nd",
        "[Example 1]\n[Input]\na\n[Output]\nb\n[Example 2]\n[Input]\nc\n[Output]\nd",
        "EXAMPLE 1\nINPUT: a\nOUTPUT: b\nEXAMPLE 2\nINPUT: c\nOUTPUT: d",
        "Example 1\n📥 Input: a\n✅ Output: b\nExample 2\n📥 Input: c\n✅ Output: d",
        "\u200bExample 1\n\u200eInput: a\n\u200fOutput: b\n\ufeffExample 2\n\u2060Input: c\n\u200bOutput: d",
        "Test Case #1:\nInput: a\nExpected output: b\nTest Case #2:\nInput: c\nExpected output: d",
        "Example 1\nTask: Do it.\nInput: a\nOutput: b\n\nExample 2\nTask: Do it.\nInput: c\nOutput: d",
        "Task: Do it.\n\nExample 1\nInput: a\nOutput: b\n\nExample 2\nInput: c\nOutput: d",
        "Input: a\nOutput: b\n\nExample 2\nInput: c\nOutput: d",
        '[{"input": "a", "output": "b"}, {"input": "c", "output": "d"}]',
        'Sure!\n```json\n{"examples": [{"input": "a", "output": "b"}, {"input": "c", "output": "d"}]}\n```',
    ],
)
def test_examples_are_read_whatever_their_markup(reply: str) -> None:
    assert pairs(reply, instruction="Do it.") == [("a", "b"), ("c", "d")]


LANGUAGES = {
    "chinese": ("示例", "输入：", "输出：", "类别标签：", "好的，以下是示例：", "希望这些对你有帮助！"),
    "japanese": ("例", "入力：", "出力：", "ラベル：", "はい、こちらです：", "お役に立てば幸いです。"),
    "korean": ("예시", "입력: ", "출력: ", "분류: ", "네, 다음과 같습니다:", "도움이 되었기를 바랍니다!"),
    "german": ("Beispiel", "Eingabe: ", "Ausgabe: ", "Klasse: ", "Gerne! Hier sind sie:", "Ich hoffe, das hilft!"),
    "french": ("Exemple", "Entrée : ", "Sortie : ", "Étiquette : ", "Bien sûr ! Voici :", "J'espère que ça aide !"),
    "spanish": ("Ejemplo", "Entrada: ", "Salida: ", "Etiqueta: ", "¡Claro! Aquí tienes:", "¡Espero que te sirva!"),
    "portuguese": ("Exemplo", "Entrada: ", "Saída: ", "Rótulo: ", "Claro! Aqui estão:", "Espero que isto ajude!"),
    "italian": ("Esempio", "Input: ", "Output: ", "Etichetta: ", "Certo! Ecco a te:", "Spero che sia utile!"),
    "russian": ("Пример", "Ввод: ", "Вывод: ", "Метка: ", "Конечно! Вот они:", "Надеюсь, это поможет!"),
    "arabic": ("مثال", "المدخل: ", "المخرج: ", "التصنيف: ", "بالتأكيد! إليك ما طلبت:", "آمل أن يساعدك هذا!"),
    "hindi": ("उदाहरण", "इनपुट: ", "आउटपुट: ", "लेबल: ", "ज़रूर! ये रहे:", "आशा है इससे मदद मिलेगी!"),
}  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("style", ["{}", "**{}**", "### {}"])
def test_markers_of_twelve_languages_are_markers(language: str, style: str) -> None:
    example, given, answer, label, before, after = LANGUAGES[language]
    heads = [style.format(f"{example} {number}") for number in (1, 2)]
    pairs_in = f"{before}\n\n{heads[0]}\n{given}a\n{answer}b\n\n{heads[1]}\n{given}c\n{answer}d\n\n{after}"
    assert pairs(pairs_in) == [("a", "b"), ("c", "d")]
    assert labelled(f"{before}\n\n{label}A\nx\n\n{label}B\ny") == [("A", "x"), ("B", "y")]
    assert labelled(f"{before}\n\nx\n{label}A\n\ny\n{label}B\n\n{after}") == [("A", "x"), ("B", "y")]


def test_markers_inside_lines_or_indented_split_nothing() -> None:
    given = "For Example 2 see below. Output: none"
    output = "Example of Input: x\nExample 2 shows it.\n    Output: y"
    assert pairs(f"Example 1\nInput: {given}\nOutput: {output}") == [(given, output)]


CONTENTS = [
    "Two and two.\nAnswer: 4",
    "print(2 + 3)\n# Output: 5",
    "Plan\nTask: Order the cake\nOwner: Ann\nTask: Book the hall\nOwner: Bob\nBoth report on Friday.",
    "1. Wash it.\n2. Dry it.\n3. Fold it.",
    "# Care\n\n## Before\n\n- Call **Ann**.\n\n## After\n\nStore it.",
    "Ann: Have you seen it?\nBob: No.",
    "A noun names a thing.\nExample: dog",
    "Use this:\n```\nInput: 5\nOutput: 6\n```\nIt adds one.",
    'figs = 12\nprint("Output:", figs)',
    "<ul>\n  <li>One</li>\n</ul>",
    '{"input": "Ann", "output": 31}',
    "| A | B |\n|---|---|\n| 1 | 2 |",
    "Dear Ann,\n\nit is here. Let me know if you have questions.\n\nBest regards,\nBob",
    "The sea is wide,\nthe sea is deep.\n\nIt rocks the boats.",
    "Step 1: wash\nStep 2: dry",
    "42",
]


@pytest.mark.parametrize("content", CONTENTS)
def test_what_looks_like_a_marker_and_is_certainly_content_is_kept_whole(content: str) -> None:
    assert pairs(f"Example 1\nInput: a\nOutput: {content}\n\nExample 2\nInput: c\nOutput: d") == [
        ("a", content),
        ("c", "d"),
    ]
    assert pairs(f"Output: {content}") == [("", content)]
    bold = f"**Input:** a\n**Output:** {content}\n\n**Input:** c\n**Output:** d"
    assert pairs(bold) in ([("a", content), ("c", "d")], [])  # without headings, some may begin another pair


def test_a_list_of_examples_in_a_single_output_is_its_own() -> None:
    output = "Adverbs modify verbs.\n\nExample 1: He ran quickly.\nExample 2: She sang loudly."
    assert pairs(f"Output: {output}") == [("", output)]
    assert reasons("Output: A poem.\n\nExample 2\nAnother poem.") == ["marker"]
    assert reasons(f"Example 1\nInput: a\nOutput: {output}") != []


def test_a_plain_marker_among_bold_ones_is_content() -> None:
    form = "The form:\nInput: 5 apples\nUnit: kg"
    assert pairs(f"**Input:** a\n**Output:** {form}") == [("a", form)]
    exercise = "Add them.\nInput: 5\nOutput: 6"
    assert pairs(f"**Example 1**\n**Input:** a\n**Output:** {exercise}") == [("a", exercise)]


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("The form:\nInput: 5 apples\nUnit: kg", "marker"),
        ("b\n\nUser: Another one, please.\nAssistant: Sure.", "marker"),
        ("b\nHuman: thanks", "marker"),
        ("Output: b", "marker"),
        ("Answer: 4", "marker"),
        ("b\n2.", "marker"),
        ("1. Wash it.", "marker"),
        ("b\n\n### Medium", "marker"),
        ("b\n\nTask: Sort the words.", "marker"),
        ("b\nInstruction: Sort the words.", "marker"),
        ("b\nClass label: c", "marker"),
        ("b\n\n**Example 7**\nAnother one.", "marker"),
        ("Sure! Here is a poem: Roses are red.", "remark"),
        ("b. Let me know if you need more examples!", "remark"),
        ("b\nI hope this helps!", "remark"),
        ("b\n\nLet me know if you can come.", "remark"),
        ("b\nExplanation: it is so.", "remark"),
        ("b\n\nHere is the second example:", "remark"),
        ("b\n```\ncode", "uncertain"),
    ],
)
def test_a_field_whose_borders_are_not_certain_is_rejected_with_its_reason(output: str, reason: str) -> None:
    whole = "Example 1\nInput: c\nOutput: d\n\n"
    assert reasons(f"{whole}Example 2\nInput: a\nOutput: {output}")[-1:] == [reason]
    assert ("c", "d") in pairs(f"{whole}Example 2\nInput: a\nOutput: {output}") or "```" in output


@pytest.mark.parametrize(
    "reply",
    [
        "Example 1\nInput: a\nOutput: b\n\nExample 1\nInput: c\nOutput: d",
        "Example 1\nInput: a\nOutput: b\n\nExample 3\nInput: c\nOutput: d",
        "Example 1\nInput: a\nOutput: b\n\n### Example 2:\nInput: c\nOutput: d",
        "Example 1\nInput: a\n\nExample 2\nInput: c\nOutput: d",
        "Example 1\nInput: a\nOutput: b\n\nExample 2\nThe cat.\n\nExample 3\nInput: c\nOutput: d",
        "Input: a\nOutput: b\nInput: c\nOutput: d",
        "**Input:** a\n**Output:** b\n\nInput: c\nOutput: d",
        "Input: a\nOutput: b\n\nInput: c",
        "Output: b\nInput: a",
        "Output: a\n\nOutput: b",
        "We need an example.\nLet me think.\n\nExample 1\nInput: a\nOutput: b",
        "Context: The shop is shut.\nInput: Is it open?\nOutput: No.",
        "Task: Count.\nInput: a\nOutput: b",
        "```\nExample 1\nInput: a\nOutput: b\n```\nThis is how it is done.",
        "Example 1: Hi\nShort.\n\nInput: a\nOutput: b\n\nExample 2: Bye\nLong.\n\nInput: c\nOutput: d",
        "Output: Sum two numbers.\n\nExample 1\nInput: 1 2\nOutput: 3",
        "Input: sums\nOutput: Sum two numbers.\n\nExample 1\nInput: 1 2\nOutput: 3\n\nExample 2\nInput: 2 2\nOutput: 4",
    ],
)
def test_one_uncertain_pairing_rejects_all_of_a_reply_and_says_where(reply: str) -> None:
    found = parsed(reply, instruction="Do it.")
    assert found.kept == ()
    assert {reason.value for _, reason in found.rejected} == {"uncertain"}
    assert "“" in found.stumbled_over
    assert found.rest == reply


def test_pairs_without_headings_are_not_believed_in_a_task_about_examples() -> None:
    reply = "Input: sums\nOutput: Sum two numbers.\n\nInput: 1 2\nOutput: 3"
    assert pairs(reply, instruction="Name the topic.") == [("sums", "Sum two numbers."), ("1 2", "3")]
    for instruction in ("Write a coding exercise with examples.", "Schreibe eine Übungsaufgabe.", "写一个带示例的题目"):
        assert pairs(reply, instruction=instruction) == []


def test_other_fields_before_an_output_are_its_input() -> None:
    assert pairs("Sentence: a\nWord: b\nOutput: c") == [("Sentence: a\nWord: b", "c")]


def test_questions_before_answers_are_inputs_without_their_name() -> None:
    assert pairs("Example 1\nQuestion: a?\nAnswer: b\nExample 2\nQuestion: c?\nAnswer: d") == [("a?", "b"), ("c?", "d")]
    assert pairs("Example 1\n问题：a?\n答案：b") == [("a?", "b")]
    assert pairs("Example 1\nInput: Question: a?\nOutput: b\n\nExample 2\nInput: c\nOutput: d") == [
        ("Question: a?", "b"),
        ("c", "d"),
    ]


def test_a_preamble_before_the_input_is_dropped() -> None:
    assert pairs("Sure! Here's one:\n\nInput: a\nOutput: b") == [("a", "b")]
    assert pairs("Here is an example:\nInput: a\nOutput: b") == [("a", "b")]
    assert pairs("Sure! Here are examples:\n\nOutput: b") == [("", "b")]


@pytest.mark.parametrize(
    "nothing",
    [
        "N/A",
        "n/a",
        "None",
        "(none)",
        "No input",
        "<noinput>",
        "<No input>",
        "-",
        "[None]",
        "No input needed.",
        "None – this task does not require any input.",
        "No additional input is required.",
        "*None*",
        "**N/A**",
        "不需要输入",
        "入力なし",
        "입력 없음",
        "Keine Eingabe erforderlich.",
        "Aucune entrée requise.",
        "Sin entrada",
        "Nenhuma entrada necessária.",
        "Nessun input richiesto",
        "нет входных данных",
        "لا يوجد",
        "कोई इनपुट नहीं",
    ],
)
def test_words_for_no_input_are_no_input(nothing: str) -> None:
    assert pairs(f"Input: {nothing}\nOutput: b") == [("", "b")]


@pytest.mark.parametrize("given", ["None of these", "No", "Nein", "Nothing", "The input is not empty", "empty the bin"])
def test_content_that_begins_like_no_input_is_input(given: str) -> None:
    assert pairs(f"Input: {given}\nOutput: b") == [(given, "b")]


def test_fences_quotes_and_bold_around_all_of_a_field_go() -> None:
    assert pairs("Input: “a b”\nOutput: “c d”") == [("a b", "c d")]
    assert pairs("Output: **c d**") == [("", "c d")]
    assert pairs("Output:\n```python\nx = 1\n```") == [("", "x = 1")]
    assert pairs("Output:\n```\nInput: x\nOutput: y\n```") == [("", "Input: x\nOutput: y")]


def test_quotes_around_some_fields_only_are_not_certain() -> None:
    reply = 'Example 1\nInput: "a"\nOutput: b\n\nExample 2\nInput: c\nOutput: d'
    assert pairs(reply) == [("c", "d")]
    assert pairs('Output: "c d"', instruction="Put it in quotes.") == [("", '"c d"')]


def test_length_makes_the_last_instance_torn() -> None:
    assert pairs("Example 1\nInput: a\nOutput: b\nExample 2\nInput: c\nOutp", LENGTH) == [("a", "b")]
    assert reasons("Example 1\nInput: a\nOutput: b\nExample 2\nInput: c\nOutp", LENGTH) == ["truncated"]
    assert pairs("Example 1\nInput: a\nOutput: b\nExample 2\nInp", LENGTH) == [("a", "b")]
    assert pairs("Input: a\nOutput: b\n\nInput: c\nOut", LENGTH) == [("a", "b")]
    assert reasons("Output: torn", LENGTH) == ["truncated"]


def test_an_example_that_was_begun_and_not_ended_spoils_no_other() -> None:
    assert pairs("Example 1\nInput: a\nOutput: b\n\nExample 2\nInput: c") == [("a", "b")]
    assert reasons("Example 1\nInput: a\nOutput: b\n\nExample 2\nInput: c") == ["uncertain"]


def test_length_drops_nothing_if_the_model_had_gone_on_to_another_task() -> None:
    assert pairs("Output: whole\n\nTask: Sort it.\nOutput: to", LENGTH) == [("", "whole")]
    assert pairs("Output: whole\n\n**Instruction:** Sort it.\n\n**Input:** to", LENGTH) == [("", "whole")]


def test_a_repeated_task_is_skipped() -> None:
    assert pairs("**Task:** Sort  it.\nOutput: 1", instruction="sort it.") == [("", "1")]
    assert pairs("### Instruction:\nDo it.\n\n### Input:\na\n\n### Response:\nb", instruction="Do it.") == [("a", "b")]


def test_a_task_followed_by_a_later_heading_is_not_certainly_the_next_one() -> None:
    reply = "Example 1\nInput: a\nOutput: Plan\n\nTask: Design\nOutput: logo\n\nExample 2\nInput: c\nOutput: d"
    assert pairs(reply) == []


FIELDS = st.from_regex(r"[a-z]{1,6}( [a-zA-Z0-9,.]{1,6}){0,6}(\n[a-z ,.]{1,9}[a-z])?[?]", fullmatch=True)
CASES = st.lists(st.builds(Instance, input=FIELDS, output=FIELDS), min_size=1, max_size=5)


@settings(deadline=None, max_examples=100)
@given(cases=CASES)
def test_rendered_examples_read_back(cases: list[Instance]) -> None:
    blocks = (f"Example {number}\nInput: {one.input}\nOutput: {one.output}\n" for number, one in enumerate(cases, 1))
    assert list(parsed("".join(blocks)).kept) == cases


# Stage 3, output-first


def test_a_label_is_the_output_and_the_rest_its_input() -> None:
    reply = "Class label: Spam\nEmail: Win now!\nCall us.\nClass label: Not spam\nEmail: Hi, Ann.\n\n"
    assert labelled(reply) == [("Spam", "Email: Win now!\nCall us."), ("Not spam", "Email: Hi, Ann.")]


@pytest.mark.parametrize(
    "reply",
    [
        "Class label: A\nx\nClass label: B\ny",
        "**Class label:** A\nInput: x\n\n**Class label:** B\nInput: y",
        "### Class label: A\n**Input:** x\n### Class label: B\n**Input:** y",
        "Class Label: **A**\nx\nClass Label: `B`\ny",
        "Class label:\nA\nx\nClass label:\nB\ny",
        "Here are they:\n\nExample 1\nClass label: A\nx\n\nExample 2\nClass label: B\ny",
        "Class label 1: A\nInput:\nx\nClass label 2: B\nInput:\ny\n\nTask: Next.\nClass label: C\nz",
        "x\nClass label: A\n\ny\nClass label: B",
        "x\nClass label: A\n---\ny\nClass label: B",
        "Sure! Here are some:\n\nx\nClass label: A\n\ny\nClass label: B\n\nLet me know if you need more examples!",
        "Example 1\nx\nClass label: A\n\nExample 2\ny\nClass label: B",
        "Example 1: Good\nInput: x\nOutput: A\n\nExample 2: Bad\nInput: y\nOutput: B",
        "Input: x\nOutput: A\n\nInput: y\nOutput: B",
        "Here they are:\nInput: x\nLabel: A\n\nInput: y\nLabel: B",
        "Category: A\nx\n\nCategory: B\ny",
        'Class label: A\n"x"\n\nClass label: B\n"y"',
        '[{"input": "x", "output": "A"}, {"input": "y", "output": "B"}]',
    ],
)
def test_labels_are_read_whatever_their_markup(reply: str) -> None:
    assert labelled(reply) == [("A", "x"), ("B", "y")]


@pytest.mark.parametrize(
    "reply",
    [
        "x\nClass label: A\ny\nClass label: B\nz",
        "Class label: A\nx\n\ny\nClass label: B",
        "Class label: A\nx\n\ny\nClass label: B\n\nz",
        "Example 1\nClass label: A\nx\n\nExample 2\ny\nClass label: B",
        "Class label: A\nClass label: B\nx",
        "Class label: A - x\nClass label: B - y",
        "Class label: This is a whole sentence and by no means a label.\nx",
        "Class label: A\nx\n\n**Class label:** B\ny",
        "Class label: A\nInput: x\nOutput: A",
        "Example 2\nClass label: A\nx\n\nExample 1\nClass label: B\ny",
    ],
)
def test_labels_whose_texts_are_not_certain_are_rejected(reply: str) -> None:
    found = parsed(reply, is_classification=True)
    assert found.kept == ()
    assert {reason.value for _, reason in found.rejected} == {"uncertain"}
    assert found.rest == reply


def test_a_text_that_holds_a_marker_is_rejected_without_its_neighbours() -> None:
    found = parsed("Class label: A\nUser: hi\nAssistant: ho\n\nClass label: B\ny", is_classification=True)
    assert found.kept == (Instance(input="y", output="B"),)
    assert [reason.value for _, reason in found.rejected] == ["marker"]
    assert labelled("Class label: A\nx\nExplanation: so.\n\nClass label: B\ny") == [("B", "y")]


def test_a_label_inside_a_line_splits_nothing() -> None:
    assert labelled("Class label: A\nIts Class label: B is odd.") == [("A", "Its Class label: B is odd.")]
    plan_text = "Plan\nTask: Order it\nOwner: Ann\nTask: Pay it\nOwner: Bob"
    assert labelled(f"Class label: A\n{plan_text}\nClass label: B\ny") == [("A", plan_text), ("B", "y")]
    assert labelled("Class label: A\nCategory: 7\nClass label: B\nCategory: 9") == [
        ("A", "Category: 7"),
        ("B", "Category: 9"),
    ]


def test_length_drops_the_torn_label() -> None:
    assert labelled("Class label: A\nx\nClass label: B\ntor", LENGTH) == [("A", "x")]
    assert labelled("x\nClass label: A\n\ny\nClass label: B\n\ntor", LENGTH) == [("A", "x"), ("B", "y")]
    assert labelled("x\nClass label: A\n\ny\nClass label: to", LENGTH) == [("A", "x")]


@settings(deadline=None, max_examples=100)
@given(cases=CASES)
def test_rendered_labels_read_back(cases: list[Instance]) -> None:
    cases = [Instance(input=one.input, output=f"label {place}") for place, one in enumerate(cases)]
    above = "".join(f"Class label: {one.output}\n{one.input}\n" for one in cases)
    under = "".join(f"{one.input}\nClass label: {one.output}\n\n" for one in cases)
    for reply in (above, under):
        assert list(parsed(reply, is_classification=True).kept) == cases


# Any reply

HEADS: list[Callable[[int], str]] = [
    lambda n: f"Example {n}\n",
    lambda n: f"**Example {n}:**\n",
    lambda n: f"### Beispiel {n}: Title\n",
    lambda n: f"示例{n}\n",
    lambda n: f"{n}.\n",
    lambda _: "\n",
    lambda _: "",
]
NAMES = [("Input: ", "Output: "), ("**Input:** ", "**Output:** "), ("输入：", "输出："), ("- input: ", "- answer: ")]
NAMES += [("Question: ", "Answer: "), ("Class label: ", "Input: "), ("Text: ", "Class label: "), ("", "Label: ")]
NOISE = [
    "",
    "\n",
    "Sure!\n\n",
    "Let me know if you need more examples!\n",
    "Task: next\n",
    "```\n",
    "User: hi\n",
    "---\n",
]
NOISE += ["Input: stray\n", "Example 2: stray\n", "1. \n", "\n\n", "Explanation: so\n", "Output: stray\n", "# x\n"]


@st.composite
def composed(draw: st.DrawFn) -> tuple[str, list[tuple[str, str]]]:
    """A reply from parts in any order with noise between them, and its words in the order of their fields."""
    head, (first, second) = draw(st.sampled_from(HEADS)), draw(st.sampled_from(NAMES))
    text, rows = draw(st.sampled_from(NOISE)), []
    for number in range(1, draw(st.integers(1, 4)) + 1):
        row = (f"alpha{number} one", f"beta{number} two")
        text += f"{head(number)}{first}{row[0]}\n{draw(st.sampled_from(NOISE))}{second}{row[1]}\n"
        text += draw(st.sampled_from(NOISE)) + draw(st.sampled_from(["", "\n"]))
        rows.append(row)
    return text, rows


@settings(deadline=None, max_examples=600)
@given(reply=composed(), is_classification=st.booleans(), reason=st.sampled_from(FinishReason))
def test_no_row_mixes_examples_however_they_are_written(
    reply: tuple[str, list[tuple[str, str]]], is_classification: bool, reason: FinishReason
) -> None:
    text, rows = reply
    for one in parsed(text, reason, is_classification=is_classification).kept:
        numbers = set(re.findall(r"(?:alpha|beta)(\d)", f"{one.input} {one.output}"))
        assert len(numbers) <= 1
        for row in rows:
            for word in row:
                assert (word in one.input) + (word in one.output) <= 1


PIECES = ["Example 1", "Input:", "Output:", "Class label:", "Task:", "**", "# ", "```", "\n", "\n", ": ", "x", "N/A"]
PIECES += ["Example 2\n", "Input: a\nOutput: b\n", "\n\n", "User:", "输出：", "- ", "1. ", "{", '"', "\u200b", "---\n"]


@settings(deadline=None, max_examples=600)
@given(
    text=st.lists(st.sampled_from(PIECES) | st.text(max_size=6), max_size=25).map("".join),
    is_classification=st.booleans(),
    reason=st.sampled_from(FinishReason),
)
def test_any_reply_gives_instances_made_of_it_or_says_why_not(
    text: str, is_classification: bool, reason: FinishReason
) -> None:
    found = parsed(text, reason, is_classification=is_classification)
    whole = squeezed(cleaned(text))
    for one in found.kept:
        for part in (one.input, one.output):
            assert part == part.strip()
            assert squeezed(part) in whole or "{" in text
    assert found.kept or found.rejected or found.stumbled_over or not cleaned(text).strip()


MEGABYTE = 1_000_000
REPEATED = [
    "Example 1\n",
    "Example ",
    "Example 1 ",
    "Example 1: ",
    "Input:",
    "Output:\n",
    "Output: x\n",
    "Class label: ",
]
REPEATED += ["Input: x\nOutput: y\n\n", "y\nClass label: x\n\n", "\n", "```\n", "**", "Task: a\n", "User: x\n", "# a\n"]
REPEATED += [
    "Output: x\n\nTask: do it\n",
    "Output: a\n```\n",
    "```\nExample 1\n",
    "a:\n",
    "1. a\n",
    "\u200b",
    "\u200bInput: a\n",
]
REPEATED += [
    "Let me know if you need more examples!\n\n",
    'Output: "',
    "[",
    "(",
    "Sure! ",
    "Note: this is an example\n",
    "<",
    "a ",
]
COUNTED: list[Callable[[int], str]] = [
    lambda n: f"Example {n}\nInput: a\nOutput: b\n\n",
    lambda n: f"Input {n}: a\nOutput {n}: b\n",
    lambda n: f"Task: x{n}\nOwner: y\n",
    lambda n: f"Output: x\n\nTask: x{n}\n\n",
    lambda n: f"Example {n}\nClass label: a{n}\nInput: b\n\n",
    lambda n: f"w{n}:\n",
    lambda n: f"a{n}\n",
]


@pytest.mark.timeout(20)  # ten times what the slowest takes; a quadratic one takes hours
@pytest.mark.parametrize("text", [piece * (MEGABYTE // len(piece)) for piece in REPEATED], ids=map(repr, REPEATED))
def test_a_megabyte_of_one_thing_is_read(text: str) -> None:
    for is_classification in (False, True):
        found = parsed(text, is_classification=is_classification)
        assert len(found.kept) <= 1
        assert found.kept or found.rejected or found.stumbled_over or not text.strip()


@pytest.mark.timeout(20)
@pytest.mark.parametrize("written", COUNTED)
def test_a_megabyte_of_things_that_are_all_different_is_read(written: Callable[[int], str]) -> None:
    text = "Output: x\n" + "".join(written(n) for n in range(1, MEGABYTE // len(written(100_000))))
    for is_classification in (False, True):
        assert len(parsed(text, is_classification=is_classification).kept) <= 1
