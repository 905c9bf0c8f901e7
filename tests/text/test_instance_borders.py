"""What stands around the fields of an example in real replies and must not be in them."""

import pytest

from fastinstruct.records import FinishReason, Instance
from fastinstruct.text.parsed import Parsed
from fastinstruct.text.parsing import parse_classification, parse_instances
from fastinstruct.text.sifting import sift_instances
from fastinstruct.text.structured import read_examples

POEM = "Write a line of verse about the given place."
BAY = "Example 1\nInput: a quiet bay\nOutput: Still water holds the moon."
BAY_PAIR = ("a quiet bay", "Still water holds the moon.")
DOG, CAT = ("The dog barks.", "El perro ladra."), ("The cat sleeps.", "El gato duerme.")
NICE, BAD = ("I loved every minute of it.", "Positive"), ("The room was filthy and loud.", "Negative")

Outcome = tuple[list[tuple[str, str]], set[str]]


def outcome(found: Parsed[Instance], task: str) -> Outcome:
    """The pairs that are left after parsing and filtering, and why others are not."""
    sifted = sift_instances(found.kept, instruction=task)
    reasons = {reason.value for _, reason in found.rejected} | {why.reason.value for _, why in sifted.rejected}
    return [(one.input, one.output) for one in sifted.kept], reasons


def read(reply: str, *, task: str = POEM, is_classification: bool = False) -> Outcome:
    found = parse_instances(
        reply, is_classification=is_classification, finish_reason=FinishReason.STOP, instruction=task
    )
    return outcome(found, task)


REMARKS_OF_THEIR_OWN_LINE = [
    "These examples cover different places.",
    "Hope that helps!",
    "The above examples show how varied the inputs can be.",
    "Note: The output may vary.",
    "(Note: this is only one possible answer.)",
    "Note that there are many other possible answers.",
    "(Word count: 5)",
    "Word count: 5",
    "Total words: 5",
    "If you need more examples, just ask!",
    "If you'd like, I can write another version.",
    "Ich hoffe, das hilft!",
    "Ich hoffe, diese Beispiele helfen dir weiter.",
    "Lassen Sie mich wissen, wenn Sie weitere Beispiele benötigen.",
    "Möchten Sie weitere Beispiele?",
    "J'espère que cela vous aide !",
    "N'hésitez pas à me demander d'autres exemples !",
    "¡Espero que esto ayude!",
    "Se precisar de mais exemplos, é só avisar.",
    "Fammi sapere se hai bisogno di altri esempi.",
    "Надеюсь, это поможет!",
    "希望这些示例对您有帮助！",
    "如果您需要更多示例，请告诉我。",
    "お役に立てれば幸いです。",
    "도움이 되었기를 바랍니다!",
    "더 많은 예시가 필요하시면 말씀해 주세요.",
    "آمل أن يكون هذا مفيدًا!",
    "आशा है यह मदद करेगा!",
    "End of examples.",
]
REMARKS_OF_THEIR_OWN_PARAGRAPH = [
    *REMARKS_OF_THEIR_OWN_LINE,
    "*Note: other answers are possible.*",
    "[Note: other answers are possible.]",
    "(Note: this is only one of many possibilities.)",
    "(Hinweis: Das ist nur eine von vielen Möglichkeiten.)",
    "（注：这只是其中一种可能。）",
    "（注：これは一例です。）",
    "(참고: 이것은 여러 가능성 중 하나입니다.)",
    "(Примечание: это лишь один из вариантов.)",
    "(ملاحظة: هذا احتمال واحد فقط.)",
    "(नोट: यह केवल एक संभावना है।)",
    "Hinweis: Es gibt viele mögliche Antworten.",
    "Happy to help with more!",
    "I've kept the poem short, as asked.",
    "他に例が必要でしたらお知らせください。",
    "Would you like more?",
    "Explanation: The poem uses water as its image.",
    "That's it!",
    "Remarque : d'autres réponses sont possibles.",
    "Nota: hay otras respuestas posibles.",
]


@pytest.mark.parametrize("remark", REMARKS_OF_THEIR_OWN_LINE)
def test_a_remark_on_the_line_under_an_answer_is_no_part_of_it(remark: str) -> None:
    assert read(f"{BAY}\n{remark}") in [([], {"remark"}), ([BAY_PAIR], set())]


@pytest.mark.parametrize("remark", REMARKS_OF_THEIR_OWN_PARAGRAPH)
def test_a_remark_in_a_paragraph_of_its_own_is_no_part_of_the_answer(remark: str) -> None:
    assert read(f"{BAY}\n\n{remark}") in [([], {"remark"}), ([BAY_PAIR], set())]


@pytest.mark.parametrize(
    "output",
    [
        "Mix it all.\n\nNote: Let the dough rest for an hour.",
        "Dear Ann,\n\nthe hall is booked. Note that the doors open at six.",
        "Is it far?\nIf you need a map, take one at the gate.",
        "Dear Bob,\nLet me know if you can come.\nYours, Ann",
        "I hope we meet in May.",
        "Hinweis: Die Halle ist zu.\nBitte hinten herum.",
        "She asked: Would you like tea?",
    ],
)
def test_a_note_that_speaks_of_the_matter_is_content(output: str) -> None:
    assert read(f"Example 1\nInput: a hall\nOutput: {output}") == ([("a hall", output)], set())


@pytest.mark.parametrize(
    "output",
    [
        "<poem>",
        "{poem}",
        "{{output}}",
        "【图片】",
        "＜ここに詩＞",
        "［詩をここに］",
        "![photo](image.png)",
        "XXXX",
        "Lorem ipsum dolor sit amet, consectetur adipiscing elit.",
        "Dear <name>, your order is ready.",
        "Dear {name}, hello.",
        "Dear {{customer_name}}, hello.",
        "Cher [Nom], merci.",
        "Estimado [Nombre], gracias.",
        "Liebe [Vorname], danke.",
        "Prezado [Nome], obrigado.",
        "Gentile [Cognome], grazie.",
        "Уважаемый [Имя], спасибо.",
        "尊敬的[姓名]，您好。",
        "[氏名]様、こんにちは。",
        "[이름]님, 안녕하세요.",
        "عزيزي [الاسم]، شكرا.",
        "प्रिय [नाम], धन्यवाद।",
    ],
)
def test_a_hole_is_no_answer(output: str) -> None:
    assert read(f"Example 1\nInput: a shop\nOutput: {output}") == ([], {"placeholder"})


def test_a_hole_is_no_input() -> None:
    assert read("Example 1\nInput: {{input}}\nOutput: Waves fold.") == ([], {"placeholder"})


@pytest.mark.parametrize(
    "output",
    [
        "{1, 2, 3}",
        "{'a': 1}",
        "The set {x} holds one member.",
        "[sic] is Latin for so.",
        "He said [it] was late.",
        'print(f"Hello {name}")',
        "a < b and b > c",
        "XXIV",
        "[1, 2]",
        "f(x) = {x}",
        "See [Ann] and [Bob] at noon.",
    ],
)
def test_brackets_that_leave_nothing_open_are_content(output: str) -> None:
    assert read(f"Example 1\nInput: a shop\nOutput: {output}") == ([("a shop", output)], set())


@pytest.mark.parametrize("output", ["なし", "없음", "لا يوجد", "无", "нет вывода"])
def test_words_for_no_output_are_none(output: str) -> None:
    assert read(f"Example 1\nInput: a shop\nOutput: {output}") == ([], {"empty_output"})


def test_an_empty_list_may_well_be_the_answer() -> None:
    assert read("Example 1\nInput: a shop\nOutput: []") == ([("a shop", "[]")], set())


@pytest.mark.parametrize("given", ["不要", "なし", "없음"])
def test_words_for_no_input_are_no_input(given: str) -> None:
    assert read(f"Example 1\nInput: {given}\nOutput: Waves fold.") == ([("", "Waves fold.")], set())


def test_pairs_of_single_lines_need_no_blank_line() -> None:
    reply = f"Input: {DOG[0]}\nOutput: {DOG[1]}\nInput: {CAT[0]}\nOutput: {CAT[1]}"
    assert read(reply)[0] in ([DOG, CAT], [])


@pytest.mark.parametrize("task", ["10. Write a story about a fox.", "\n10. Write a story about a fox."])
def test_a_numbered_next_task_is_no_part_of_an_answer(task: str) -> None:
    reply = f"Example 1\nInput: {DOG[0]}\nOutput: {DOG[1]}\n{task}"
    assert read(reply) in [([DOG], set()), ([], {"marker"})]
    assert read(f"Output: {DOG[1]}\n{task}") in [([("", DOG[1])], set()), ([], {"marker"})]


@pytest.mark.parametrize("output", ["To do:\n1. Wash it.\n2. Dry it.", "He was born in\n1912. A good year it was."])
def test_a_list_of_its_own_is_content(output: str) -> None:
    assert read(f"Example 1\nInput: a shop\nOutput: {output}") == ([("a shop", output)], set())


@pytest.mark.parametrize(
    ("opening", "closing"),
    [
        ("„", "“"),
        ("‚", "‘"),
        ("‹", "›"),
        ("『", "』"),
        ("「", "」"),
        ("＂", "＂"),
        ('"', '"'),
        ("»", "«"),
        ("\n> ", ""),
    ],
)
def test_quotes_around_all_of_every_field_go(opening: str, closing: str) -> None:
    reply = "\n\n".join(
        f"Example {n}\nInput: {opening}{a}{closing}\nOutput: {opening}{b}{closing}"
        for n, (a, b) in enumerate((DOG, CAT), 1)
    )
    assert read(reply) == ([DOG, CAT], set())


def test_quotes_around_an_answer_that_holds_quotes_go_where_all_are_quoted() -> None:
    code = 'x = 40\ny = 2\nprint("Output:", x + y)'
    reply = f'Example 1\nInput: "add"\nOutput: "{code}"\n\nExample 2\nInput: "{CAT[0]}"\nOutput: "{CAT[1]}"'
    assert read(reply) == ([("add", code), CAT], set())


def test_an_answer_that_begins_and_ends_with_quoted_words_keeps_them() -> None:
    said = '"Come in," said Ann, and Bob said "No."'
    assert read(f"Example 1\nInput: a door\nOutput: {said}")[0] in ([("a door", said)], [])


def test_json_in_an_output_is_read_or_rejected() -> None:
    reply = 'Output: {"input": "The dog barks.", "output": "El perro ladra."}'
    assert read(reply)[0] in ([DOG], [])


LABELLED = [NICE, BAD]


def test_a_label_is_no_sentence_with_a_reason() -> None:
    reply = "Class label: Positive (because it is warm)\nThe sun is out."
    assert read(reply, task="Classify.", is_classification=True)[0] == []


@pytest.mark.parametrize(
    "wrapper",
    ["<think>", "</think>", "<thinking>", "[THINK]", "◁think▷", "<|channel|>analysis<|message|>", "<seed:think>"],
)
def test_a_draft_inside_a_reasoning_wrapper_gives_no_rows(wrapper: str) -> None:
    for reply in (f"{wrapper}\n{BAY}", f"{BAY}\n{wrapper}\n", f"{BAY}\n{wrapper}\n\nExample 2\nInput: a\nOutput: b"):
        assert read(reply)[0] == []


def test_code_that_mentions_a_reasoning_tag_is_content() -> None:
    output = "Strip `<think>` from the text."
    assert read(f"Example 1\nInput: a model\nOutput: {output}") == ([("a model", output)], set())


def structured(text: str, task: str = POEM) -> Outcome:
    return outcome(read_examples(text, is_torn=False, instruction=task), task)


@pytest.mark.parametrize(
    ("given", "output"),
    [
        ("Input: The dog barks.", "Output: El perro ladra."),
        ("输入：The dog barks.", "输出：El perro ladra."),
        ("```\\nThe dog barks.\\n```", "```\\nEl perro ladra.\\n```"),
        ("'The dog barks.'", "'El perro ladra.'"),
        ("**Input:** The dog barks.", "**Output:** El perro ladra."),
        ("The dog barks.", "Sure! Here is the translation:\\nEl perro ladra."),
        ("The dog barks.", "El perro ladra.\\n\\nLet me know if you need more examples!"),
        ("The dog barks.", "El perro ladra.\\n\\nExample 2"),
    ],
)
def test_fields_of_json_are_freed_of_what_stands_around_them(given: str, output: str) -> None:
    found, _ = structured(f'{{"examples": [{{"input": "{given}", "output": "{output}"}}]}}')
    assert found in ([DOG], [])


def test_a_marker_before_every_field_of_json_goes() -> None:
    text = '{"examples": [{"input": "Input: The dog barks.", "output": "Output: El perro ladra."}]}'
    assert structured(text) == ([DOG], set())


@pytest.mark.parametrize("extra", ['"why": "x"', '"topic": "dogs"', '"confidence": 0.9', '"tags": ["a", "b"]'])
def test_a_further_key_beside_input_and_output_is_told_and_spoils_nothing(extra: str) -> None:
    text = f'{{"examples": [{{"input": "The dog barks.", "output": "El perro ladra.", {extra}}}]}}'
    assert structured(text) == ([DOG], set())


def test_half_a_surrogate_pair_spoils_its_example() -> None:
    text = '{"examples": [{"input": "The dog barks.", "output": "El \\ud83d perro."}]}'
    assert structured(text)[0] == []


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ('{"is_classification": true}', True),
        ('{"is_classification": false}', False),
        ('```json\n{"is_classification": false}\n```', False),
        ("{'is_classification': True}", True),
        ("<answer>Yes</answer>", True),
        ("✅ Yes", True),
        ("❌ No", False),
        ("Here you go:\n\nNo.", False),
        ("Sure! Yes.", True),
        ("Sure!\n\nNo, it is not.", False),
        ("好的，是的。", True),
        ("Of course. The answer is: No", False),
        ("Klar! Nein.", False),
        ("Here is the list of tasks:", None),
        ("Sure!", None),
        ("Yes or no?", None),
    ],
)
def test_yes_and_no_are_understood_however_they_are_wrapped(reply: str, answer: bool | None) -> None:
    assert parse_classification(reply) is answer


@pytest.mark.parametrize(
    "output",
    [
        "I need the text to summarize it.",
        "Sure, please share the article.",
        "The input is missing.",
        "Per favore, fornisci il testo.",
        "Per favore fornisci il testo da riassumere.",
        "Por favor, proporciona el texto.",
        "Por favor, forneça o texto.",
        "Veuillez fournir le texte.",
        "S'il vous plaît, fournissez le texte.",
        "Bitte gib den Text an.",
        "Bitte stellen Sie den Text bereit.",
        "Пожалуйста, предоставьте текст.",
        "请提供文本。",
        "テキストを提供してください。",
        "텍스트를 제공해 주세요.",
        "يرجى تقديم النص.",
        "कृपया पाठ प्रदान करें।",
        "As a language model, I cannot browse the internet.",
        "كنموذج لغوي، لا يمكنني تصفح الإنترنت.",
        "بصفتي نموذجًا لغويًا، لا أستطيع ذلك.",
        "Als Sprachmodell kann ich nicht im Internet suchen.",
        "En tant que modèle de langage, je ne peux pas naviguer sur Internet.",
        "Come modello linguistico, non posso navigare in Internet.",
        "Como modelo de lenguaje, no puedo navegar por Internet.",
        "Как языковая модель, я не могу выходить в интернет.",
        "作为一个语言模型，我无法浏览互联网。",
        "言語モデルとして、インターネットを閲覧することはできません。",
        "언어 모델로서 인터넷을 탐색할 수 없습니다.",
        "एक भाषा मॉडल के रूप में, मैं इंटरनेट ब्राउज़ नहीं कर सकता।",
    ],
)
def test_an_answer_that_asks_for_what_is_missing_is_a_refusal(output: str) -> None:
    kept, reasons = read(f"Example 1\nOutput: {output}", task="Summarize the article.")
    assert (kept, reasons) == ([], {"refusal"})


@pytest.mark.parametrize("number", ["{}.", "{})", "({})", "**{}.**", "**{}**", "#{}", "{}:", "### {}", "[{}]", "{}、"])
@pytest.mark.parametrize(
    "example",
    ["{number}\n{text}\nClass label: {label}", "{number}\nClass label: {label}\n{text}"],
    ids=["label below", "label above"],
)
def test_a_number_above_a_labelled_text_is_no_part_of_it(example: str, number: str) -> None:
    pairs = [NICE, BAD]
    reply = "\n\n".join(
        example.format(number=number.format(place), text=text, label=label)
        for place, (text, label) in enumerate(pairs, 1)
    )
    kept, reasons = read(reply, task="Classify the sentiment.", is_classification=True)
    assert kept == pairs or (kept == [] and reasons)


def test_numbers_above_labelled_texts_are_read_and_not_just_rejected() -> None:
    reply = f"1.\n{NICE[0]}\nClass label: {NICE[1]}\n\n2.\n{BAD[0]}\nClass label: {BAD[1]}"
    assert read(reply, task="Classify the sentiment.", is_classification=True) == ([NICE, BAD], set())


def test_a_name_in_front_of_a_text_is_content_as_in_the_paper() -> None:
    reply = "Class label: Spam\nSubject: You won\n\nClass label: Ham\nSee you at noon."
    kept, _ = read(reply, task="Is it spam?", is_classification=True)
    assert kept == [("Subject: You won", "Spam"), ("See you at noon.", "Ham")]


@pytest.mark.parametrize(
    "heading",
    [
        "*** Example {} ***",
        "=== Example {} ===",
        "--- Example {} ---",
        "### Example {} [hard]",
        "Example {} [hard]",
        "Example {} (short)",
        "【Example {}】",
        "Example #{}",
        "Example no. {}",
        "~~ Example {} ~~",
    ],
)
def test_headings_of_all_shapes_begin_examples(heading: str) -> None:
    reply = "\n\n".join(
        f"{heading.format(place)}\nInput: {given}\nOutput: {output}"
        for place, (given, output) in enumerate((DOG, CAT), 1)
    )
    assert read(reply) == ([DOG, CAT], set())


def test_an_ordinal_after_the_word_is_a_heading_too() -> None:
    reply = f"Example first\nInput: {DOG[0]}\nOutput: {DOG[1]}\n\nExample second\nInput: {CAT[0]}\nOutput: {CAT[1]}"
    assert read(reply) == ([DOG, CAT], set())


@pytest.mark.parametrize("fence", ["```", "```text", "~~~", "````"])
@pytest.mark.parametrize("marker", ["{}:", "**{}:**", "**{}**:", "- {}:", "### {}:"])
def test_a_fence_may_open_on_the_markers_line(fence: str, marker: str) -> None:
    closing = fence.removesuffix("text")
    reply = "\n\n".join(
        f"Example {place}\n"
        f"{marker.format('Input')} {fence}\n{given}\n{closing}\n"
        f"{marker.format('Output')} {fence}\n{output}\n{closing}"
        for place, (given, output) in enumerate((DOG, CAT), 1)
    )
    assert read(reply) == ([DOG, CAT], set())


def test_a_fence_on_one_line_goes() -> None:
    assert read(f"Example 1\nInput: ```{DOG[0]}```\nOutput: ```{DOG[1]}```") == ([DOG], set())


def test_a_fence_that_only_ends_on_a_line_of_its_own_gives_no_rows() -> None:
    kept, _ = read(f"Example 1\nInput: ```{DOG[0]}\n```\nOutput: ```{DOG[1]}\n```")
    assert kept == []


def test_a_list_of_one_at_the_end_of_an_answer_is_content() -> None:
    reply = "Example 1\nOutput: The lists are\n[1, 2]\n[2]"
    assert read(reply, task="List the lists.") == ([("", "The lists are\n[1, 2]\n[2]")], set())


def test_markers_inside_a_fence_on_the_markers_line_are_content() -> None:
    reply = "Example 1\nInput: ```\nOutput: 3\n```\nOutput: ```\nInput: 4\n```"
    assert read(reply, task="Swap the markers and add one.") == ([("Output: 3", "Input: 4")], set())


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Question", "Answer"),
        ("Frage", "Antwort"),
        ("Pregunta", "Respuesta"),
        ("Pergunta", "Resposta"),
        ("Domanda", "Risposta"),
        ("Вопрос", "Ответ"),
        ("问题", "答案"),
        ("質問", "回答"),
        ("질문", "답변"),
        ("سؤال", "الإجابة"),
        ("السؤال", "الجواب"),
        ("प्रश्न", "उत्तर"),
        ("सवाल", "जवाब"),
        ("Q", "A"),
    ],
)
def test_questions_with_answers_are_pairs_or_nothing(question: str, answer: str) -> None:
    reply = "\n\n".join(
        f"Example {place}\n{question}: {given}\n{answer}: {output}"
        for place, (given, output) in enumerate((DOG, CAT), 1)
    )
    kept, _ = read(reply)
    assert kept == ([] if question == "Q" else [DOG, CAT])


def test_braces_alone_are_a_hole_unless_the_task_is_about_code() -> None:
    for reply in ("Example 1\nInput: a quiet bay\nOutput: {}", "Example 1\nInput: {}\nOutput: Still water."):
        assert read(reply) == ([], {"placeholder"})
    reply = "Example 1\nInput: a quiet bay\nOutput: {}"
    assert read(reply, task="Give the JSON object that has no keys.") == ([("a quiet bay", "{}")], set())
