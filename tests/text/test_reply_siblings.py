"""Next of kin of the replies that people met: examples in other languages, wrappers and orders, in one run over HTTP.

Every reply has a task of its own. What is written beside it is all that may be kept of it.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from replying import Outcome
from siblings import BOTH, DOG, EXERCISE, NICE, POEM, REVIEW, REVIEWS, TRANSLATE, Sibling, kept, of_each, pairs, two

EN, PLAIN = "Example {}", two("Example {}", "Input: ", "Output: ")
ONE = "Example 1\nInput: The dog barks.\nOutput: El perro ladra."
ZH_ONE = "示例 1\n输入：The dog barks.\n输出：El perro ladra."
UNDER = "I loved every minute of it.\nClass label: Positive\n\nThe room was filthy and loud.\nClass label: Negative"

LANGUAGES = [
    pairs("Japanese", "例{}", "入力：", "出力："),
    pairs("Korean", "예시 {}", "입력: ", "출력: "),
    pairs("German", "Beispiel {}", "Eingabe: ", "Ausgabe: "),
    pairs("French", "Exemple {} :", "Entrée : ", "Sortie : "),
    pairs("Spanish", "Ejemplo {}", "Entrada: ", "Salida: "),
    pairs("Portuguese", "Exemplo {}", "Entrada: ", "Saída: "),
    pairs("Italian", "Esempio {}", "Input: ", "Output: "),
    pairs("Russian", "Пример {}", "Ввод: ", "Вывод: "),
    pairs("Arabic", "مثال {}", "المدخل: ", "المخرج: "),
    pairs("Hindi", "उदाहरण {}", "इनपुट: ", "आउटपुट: "),
    pairs("traditional Chinese", "範例 {}", "輸入：", "輸出："),
    pairs("Chinese with titles", "示例 {}", "输入：", "输出：", "1：动物", "2：猫"),
    pairs("Chinese numbers", "示例{}", "输入：", "输出：", "一", "二"),
    pairs("German with titles", "Beispiel {}", "Eingabe: ", "Ausgabe: ", "1: Hunde", "2: Katzen"),
    pairs("a Chinese heading over English markers", "示例 {}", "Input: ", "Output: "),
    pairs("Chinese markers on lines of their own", "示例 {}", "输入：\n", "输出：\n"),
    kept(
        "Chinese without headings",
        "输入：The dog barks.\n输出：El perro ladra.\n\n输入：The cat sleeps.\n输出：El gato duerme.",
        *BOTH,
    ),
    kept("direction marks", "\u200fمثال 1\n\u200fالمدخل: The dog barks.\n\u200fالمخرج: El perro ladra.", DOG),
    kept("zero-width marks", "\u200bExample 1\n\u200bInput: The dog barks.\n\u200bOutput: El perro ladra.", DOG),
    kept("a Chinese preamble", "当然！以下是两个示例：\n\n" + two("示例 {}", "输入：", "输出："), *BOTH),
    kept(
        "a Spanish preamble",
        "¡Claro! Aquí tienes dos ejemplos:\n\n" + two("Ejemplo {}", "Entrada: ", "Salida: "),
        *BOTH,
    ),
]

HEADINGS = [
    pairs(f"the heading {heading.format((numbers or ('1',))[0])} over {given}", heading, given, output, *numbers)
    for heading, given, output, *numbers in [
        (EN, "Input: ", "Output: ", "A", "B"),
        (EN, "Input: ", "Output: ", "I", "II"),
        (EN, "Input: ", "Output: ", "①", "②"),
        (EN, "Input: ", "Output: ", "1/2", "2/2"),
        (EN, "Input: ", "Output: ", "1 - Dogs", "2 - Cats"),
        (EN, "Input: ", "Output: ", "1. Dogs", "2. Cats"),
        ("**Example {}**", "**Input:** ", "**Output:** ", "1 (simple)", "2 (with a cat)"),
        ("{} example:", "Input: ", "Output: ", "First", "Second"),
        ("### Example {}", "**Input**: ", "**Output**: "),
        ("#### Example {}", "- **Input:** ", "- **Output:** "),
        ("---\n### Example {}\n", "**Input:**\n", "**Output:**\n"),
        ("EXAMPLE {}", "INPUT: ", "OUTPUT: "),
        ("Example ({})", "Input: ", "Output: "),
        ("[Example {}]", "Input: ", "Output: "),
        ("Example No. {}", "Input: ", "Output: "),
        ("Test case {}:", "Input: ", "Expected output: "),
        ("{}.", "Input: ", "Output: "),
        ("=== Example {} ===", "Input: ", "Output: "),
        ("--- Example {} ---", "Input: ", "Output: "),
    ]
]

WRAPPERS = [
    kept(
        "numbered markers",
        "Input 1: The dog barks.\nOutput 1: El perro ladra.\n\nInput 2: The cat sleeps.\nOutput 2: El gato duerme.",
        *BOTH,
    ),
    kept(
        "items of a list",
        "1. Input: The dog barks.\n   Output: El perro ladra.\n\n2. Input: The cat sleeps.\n   Output: El gato duerme.",
        *BOTH,
    ),
    kept("a fence around all", f"```text\n{PLAIN}\n```", *BOTH),
    kept("the task again", f"**Task:** {TRANSLATE}\n\n{PLAIN}", *BOTH),
    kept("Windows' line ends", PLAIN.replace("\n", "\r\n"), *BOTH),
    kept("quotes around all", "Example 1\nInput: “The dog barks.”\nOutput: “El perro ladra.”", DOG),
    kept("German quotes around all", "Beispiel 1\nEingabe: „The dog barks.“\nAusgabe: „El perro ladra.“", DOG),
    kept("corner brackets around all", "例1\n入力：「The dog barks.」\n出力：「El perro ladra.」", DOG),
    kept("bold around all", "Example 1\nInput: **The dog barks.**\nOutput: **El perro ladra.**", DOG),
    kept("words in quotes", 'Output: "Sí" and "No"', ("", '"Sí" and "No"')),
    kept(
        "an object in a fence under each heading",
        'Example 1\n```json\n{"input": "The dog barks.", "output": "El perro ladra."}\n```\n\n'
        'Example 2\n```json\n{"input": "The cat sleeps.", "output": "El gato duerme."}\n```',
        *BOTH,
    ),
    kept("Chinese headings over objects", '示例 1\n{"input": "The dog barks.", "output": "El perro ladra."}', DOG),
    kept("Python's quotes", "[{'input': 'The dog barks.', 'output': 'El perro ladra.'}]", DOG),
    kept("a comma too many", '[{"input": "The dog barks.", "output": "El perro ladra."},]', DOG),
    kept(
        "torn JSON",
        '[{"input": "The dog barks.", "output": "El perro ladra."}, {"input": "The cat sleeps.", "output": "El ga',
        DOG,
        reason="truncated",
    ),
    kept(
        "JSON between remarks",
        'Sure! Here you go:\n```json\n[{"input": "The dog barks.", "output": "El perro ladra."}]\n```\n'
        "Let me know if you need more examples!",
        DOG,
    ),
    kept(
        "an answer that is JSON",
        'Example 1\nInput: Ann, 30\nOutput: {"name": "Ann", "age": 30}',
        ("Ann, 30", '{"name": "Ann", "age": 30}'),
    ),
]

REASONING = [
    kept(
        "harmony before labels under their texts",
        "<|channel|>analysis<|message|>Class label: Positive, perhaps.<|end|>"
        f"<|start|>assistant<|channel|>final<|message|>{UNDER}<|return|>",
        *REVIEWS,
        task=REVIEW,
    ),
    kept(
        "harmony without its tokens before labels",
        f"analysisWe need labels.\nClass label: Positive?assistantfinal{UNDER}",
        *REVIEWS,
        task=REVIEW,
    ),
    kept(
        "harmony without its tokens, with a commentary",
        f"analysisThink.assistantcommentaryMore.assistantfinal{PLAIN}",
        *BOTH,
    ),
    *(
        kept(f"{opening} before a Chinese reply", f"{opening}\n示例 1\n输入：甲\n输出：乙\n{closing}\n\n{ZH_ONE}", DOG)
        for opening, closing in [
            ("<think>", "</think>"),
            ("<thinking>", "</thinking>"),
            ("<thought>", "</thought>"),
            ("[THINK]", "[/THINK]"),
            ("<seed:think>", "</seed:think>"),
            ("◁think▷", "◁/think▷"),
        ]
    ),
    kept(
        "a thought before torn JSON",
        '<think>{"input": "x", "output": "y"}</think>[{"input": "The dog barks.", "output": "El perro ladra."}, {"inp',
        DOG,
        reason="truncated",
        finish="length",
    ),
]

NEXT_TASKS = [
    kept(f"then {following.splitlines()[0]}", f"{ONE}\n\n{following}", DOG)
    for following in [
        "### Task 2: Write a story about a fox.\nOutput: Once upon a time a fox lived.",
        "Next task: Write a story about a fox.\nOutput: Once a fox lived.",
        "Aufgabe: Schreibe eine Geschichte.\nAusgabe: Es war einmal.",
        "任务：写一个关于狐狸的故事。\n输出：从前有一只狐狸。",
        "Tarea: Escribe un cuento.\nSalida: Érase una vez.",
        "Задача: Напиши рассказ.\nВывод: Жила-была лиса.",
    ]
] + [
    kept("then another speaker", f"{ONE}\n\nUser: Write a story about a fox.\nAssistant: Once.", reason="marker"),
    kept("then a numbered task", f"{ONE}\n\n10. Write a story about a fox.", reason="marker"),
]

NUMBERS = (
    "Given whole numbers, return the largest sum.\n\n{0} 1:\n{1}nums = [2, 7]\n{2}9\n\n{0} 2:\n{1}nums = [4, 4]\n{2}8"
)
CONTENT = [
    kept(
        "a German exercise",
        "Ausgabe: " + NUMBERS.format("Beispiel", "Eingabe: ", "Ausgabe: "),
        task=EXERCISE,
        reason="uncertain",
    ),
    kept(
        "a Chinese exercise", "输出：" + NUMBERS.format("示例", "输入：", "输出："), task=EXERCISE, reason="uncertain"
    ),
    kept(
        "an exercise among bold markers",
        "**Example 1**\n**Input:** lists\n**Output:** " + NUMBERS.format("Example", "Input: ", "Output: "),
        task=EXERCISE,
        reason="uncertain",
    ),
    kept(
        "a plan with tasks, in German",
        "Beispiel 1\nEingabe: Fest\nAusgabe: Plan\nAufgabe: Kuchen bestellen\nWer: Cy\n\n"
        "Beispiel 2\nEingabe: Lauf\nAusgabe: Plan\nAufgabe: Strecke abstecken\nWer: Di",
        ("Fest", "Plan\nAufgabe: Kuchen bestellen\nWer: Cy"),
        ("Lauf", "Plan\nAufgabe: Strecke abstecken\nWer: Di"),
    ),
    kept(
        "a numbered answer",
        "Output:\n1. Fill it with pens.\n2. Use it as a vase.",
        ("", "1. Fill it with pens.\n2. Use it as a vase."),
    ),
    kept("a list in brackets", "Example 1\nInput: 1 2 3\nOutput: [1, 2, 3]", ("1 2 3", "[1, 2, 3]")),
    kept(
        "a stage direction",
        "Output: [The lights go down.] ROMEO: Hello.",
        ("", "[The lights go down.] ROMEO: Hello."),
        task=POEM,
    ),
]

LABELS = [
    kept(
        "labels under their texts",
        "I loved every minute of it.\nLabel: Positive\n\nThe room was filthy and loud.\nLabel: Negative",
        *REVIEWS,
        task=REVIEW,
    ),
    kept(
        "Chinese labels under their texts",
        "这家酒店很好。\n类别标签：正面\n\n房间又脏又吵。\n类别标签：负面",
        ("这家酒店很好。", "正面"),
        ("房间又脏又吵。", "负面"),
        task=REVIEW,
    ),
    kept(
        "Chinese labels above their texts",
        "类别标签：正面\n这家酒店很好。\n\n类别标签：负面\n房间又脏又吵。",
        ("这家酒店很好。", "正面"),
        ("房间又脏又吵。", "负面"),
        task=REVIEW,
    ),
    kept(
        "German labels above their texts, then a remark",
        "Klassenlabel: Positive\nI loved every minute of it.\n\nKlassenlabel: Negative\nThe room was filthy and loud."
        "\n\nLet me know if you need more examples!",
        *REVIEWS,
        task=REVIEW,
    ),
    kept(
        "a preamble before labels under their texts",
        f"Here are two reviews:\n\n{UNDER}",
        *REVIEWS,
        task=REVIEW,
    ),
    kept(
        "labels in headed examples",
        "### Example 1\nI loved every minute of it.\n**Class label:** Positive\n\n"
        "### Example 2\nThe room was filthy and loud.\n**Class label:** Negative",
        *REVIEWS,
        task=REVIEW,
    ),
    kept(
        "inputs and outputs of a label task",
        "Beispiel 1\nEingabe: I loved every minute of it.\nAusgabe: Positive\n\n"
        "Beispiel 2\nEingabe: The room was filthy and loud.\nAusgabe: Negative",
        *REVIEWS,
        task=REVIEW,
    ),
    kept(
        "a torn text under its label",
        "Class label: Positive\nI loved every minute of it.\n\nClass label: Negative\nThe room was fil",
        NICE,
        task=REVIEW,
        reason="truncated",
        finish="length",
    ),
    kept(
        "labels that may stand above or under",
        "It was fine.\nClass label: Positive\nI loved it.\nClass label: Negative\nIt was loud.",
        task=REVIEW,
        reason="uncertain",
    ),
    kept(
        "one label above and one under",
        "Class label: Positive\nI loved it.\n\nIt was loud.\nClass label: Negative",
        task=REVIEW,
        reason="uncertain",
    ),
    kept(
        "one text with two labels",
        "Class label: Positive\nI loved it.\n\nClass label: Negative\nI loved it.",
        task=REVIEW,
        reason="conflicting_outputs",
    ),
    kept(
        "a number above each text",
        "1.\nI loved every minute of it.\nClass label: Positive\n\n"
        "2.\nThe room was filthy and loud.\nClass label: Negative",
        *REVIEWS,
        task=REVIEW,
    ),
]

TORN = [
    kept(f"torn in {name}", text, DOG, reason="truncated", finish="length")
    for name, text in {
        "a German output": two("Beispiel {}", "Eingabe: ", "Ausgabe: ")[:-7],
        "a Chinese output": two("示例 {}", "输入：", "输出：")[:-7],
        "an input": f"{ONE}\n\nExample 2\nInput: The cat sle",
        "a Chinese input": f"{ZH_ONE}\n\n示例 2\n输入：The cat sle",
    }.items()
] + [
    kept("torn in its only output", "Output: El pe", reason="truncated", finish="length"),
    kept(
        "torn after a thought in Chinese",
        f"<think>想一想。</think>\n{ZH_ONE}\n\n示例 2\n输入：The cat",
        DOG,
        reason="truncated",
        finish="length",
    ),
]

SIBLINGS = [*LANGUAGES, *HEADINGS, *WRAPPERS, *REASONING, *NEXT_TASKS, *CONTENT, *LABELS, *TORN]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Outcome]:
    return of_each(SIBLINGS, tmp_path_factory.mktemp("siblings") / "run")


@pytest.mark.parametrize("sibling", SIBLINGS, ids=lambda sibling: sibling.name)
def test_of_a_reply_exactly_what_is_certain_is_kept(sibling: Sibling, outcomes: Mapping[str, Outcome]) -> None:
    answer = outcomes[sibling.name]
    assert answer.kept == sibling.pairs
    assert {reason for _, reason in answer.rejected} == ({sibling.reason} - {""})


def test_every_sibling_has_a_name_of_its_own() -> None:
    assert len({sibling.name for sibling in SIBLINGS}) == len(SIBLINGS)
