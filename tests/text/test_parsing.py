"""Replies of stages 1 and 2, as the profile `default` reads them."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastinstruct.records import Api, FinishReason, RejectReason
from fastinstruct.text.markup import cleaned
from fastinstruct.text.parsing import parse_classification, parse_instructions

STOP, LENGTH = FinishReason.STOP, FinishReason.LENGTH
MEGABYTE = 1_000_000


def chat(text: str, finish_reason: FinishReason = STOP, max_items: int = 20) -> list[str]:
    parsed = parse_instructions(text, api=Api.CHAT, first_number=9, max_items=max_items, finish_reason=finish_reason)
    return list(parsed.kept)


def completion(text: str, finish_reason: FinishReason = STOP, max_items: int = 20) -> list[str]:
    parsed = parse_instructions(
        text, api=Api.COMPLETIONS, first_number=9, max_items=max_items, finish_reason=finish_reason
    )
    return list(parsed.kept)


# Stage 1, completions


def test_a_completion_starts_inside_the_first_item() -> None:
    assert completion(" Write a poem.\n10. Name Python's keywords.\n11. Sort it.") == [
        "Write a poem.",
        "Name Python's keywords.",
        "Sort it.",
    ]


def test_a_completion_may_repeat_the_number_of_the_prompt() -> None:
    assert completion(" 9. Write a poem.\n10. Sort it.") == ["Write a poem.", "Sort it."]


def test_length_drops_only_the_torn_item() -> None:
    assert completion(" Write a poem.\n10. Sort it.\n11. Expl", LENGTH) == ["Write a poem.", "Sort it."]
    assert completion(" Write a poem.\n10.", LENGTH) == ["Write a poem."]
    assert completion(" Write a po", LENGTH) == []


def test_items_beyond_the_limit_are_cut() -> None:
    assert completion(" A\n10. B\n11. C", max_items=2) == ["A", "B"]
    assert completion(" A\n10. B", max_items=0) == []


def test_numbers_inside_content_split_nothing() -> None:
    assert completion(" Say what began in 2016. Then say why it costs 20. Explain.\n10. Sort it.") == [
        "Say what began in 2016. Then say why it costs 20. Explain.",
        "Sort it.",
    ]
    assert completion(" Say what began in\n2016. Then go on.\n10. Sort it.") == [
        "Say what began in 2016. Then go on.",
        "Sort it.",
    ]
    assert completion(" Measure\n9.5 metres.\n10.5 too.\n10. Sort it.") == ["Measure 9.5 metres. 10.5 too.", "Sort it."]


def test_a_skipped_number_is_forgiven_but_not_a_leap() -> None:
    assert completion(" A\n12. B\n13. D") == ["A", "B", "D"]
    leap = parse_instructions(
        " A\n12. B\n16. C\n13. D", api=Api.COMPLETIONS, first_number=9, max_items=20, finish_reason=STOP
    )
    assert leap.kept == ("A", "D")
    assert leap.rejected == (("B 16. C", RejectReason.UNCERTAIN),)


def test_a_list_inside_an_item_belongs_to_it() -> None:
    assert completion(" Do this:\n1. cut\n2. glue\n10. Sort it.") == ["Do this: 1. cut 2. glue", "Sort it."]
    assert chat("1. Do this:\n1. cut\n2. glue\n2. Sort it.\n3. Stop.") == [
        "Do this: 1. cut 2. glue",
        "Sort it.",
        "Stop.",
    ]
    assert chat("1. Do this:\n   1. cut\n   2. glue\n2. Sort it.") == ["Do this: 1. cut 2. glue", "Sort it."]


def test_a_completion_that_begins_to_do_the_task_loses_the_answer() -> None:
    assert completion(" Write a poem.\n\nRoses are red.\n\n10. Sort it.") == ["Write a poem.", "Sort it."]
    assert completion("\n\nWrite a poem.\n10. Sort it.") == ["Write a poem.", "Sort it."]


def test_case_is_kept_and_white_space_collapsed() -> None:
    assert completion(" Explain\t NASA's\n  Python code. ") == ["Explain NASA's Python code."]


# Stage 1, chat

TWO = ["Write a poem.", "Name three cities."]


@pytest.mark.parametrize(
    "reply",
    [
        "1. Write a poem.\n2. Name three cities.",
        "9. Write a poem.\n10. Name three cities.",
        "1) Write a poem.\n2) Name three cities.",
        "1: Write a poem.\n2: Name three cities.",
        "(1) Write a poem.\n(2) Name three cities.",
        "1、Write a poem.\n2、Name three cities.",
        "１．Write a poem.\n２．Name three cities.",
        "【1】Write a poem.\n【2】Name three cities.",
        "1 - Write a poem.\n2 - Name three cities.",
        "1.Write a poem.\n2.Name three cities.",
        " 9. Write a poem.\n10. Name three cities.",
        "- Write a poem.\n- Name three cities.",
        "* Write a poem.\n* Name three cities.",
        "• Write a poem.\n• Name three cities.",
        "- [ ] Write a poem.\n- [ ] Name three cities.",
        "Task 1: Write a poem.\nTask 2: Name three cities.",
        "**Task 1:** Write a poem.\n\n**Task 2:** Name three cities.",
        "**Task 1**: Write a poem.\n\n**Task 2**: Name three cities.",
        "**1.** Write a poem.\n**2.** Name three cities.",
        "**1. Write a poem.**\n**2. Name three cities.**",
        "1. **Write a poem.**\n2. **Name three cities.**",
        "### Task 1\nWrite a poem.\n\n### Task 2\nName three cities.",
        "### 1. Write a poem.\n### 2. Name three cities.",
        "- **Task 1:** Write a poem.\n- **Task 2:** Name three cities.",
        "1. Task: Write a poem.\n2. Task: Name three cities.",
        "Task: Write a poem.\nTask: Name three cities.",
        "任务1：Write a poem.\n任务2：Name three cities.",
        "Aufgabe 1: Write a poem.\nAufgabe 2: Name three cities.",
        '1. "Write a poem."\n2. "Name three cities."',
        "1. “Write a poem.”\n2. 「Name three cities.」",
        "1. `Write a poem.`\n2. **“Name three cities.”**",
        "```\n1. Write a poem.\n2. Name three cities.\n```\nEnjoy them.",
        '["Write a poem.", "Name three cities."]',
        '```json\n[\n  "Write a poem.",\n  "Name three cities."\n]\n```',
        'Here you are:\n[{"id": 1, "instruction": "Write a poem."}, {"task": "Name three cities."}]',
        '{"tasks": ["Write a poem.", "Name three cities."]}',
        "1. Write a poem.\n1. Name three cities.",
        "Write a poem.\n10. Name three cities.",
        "Sure! Here are more:\n\nWrite a poem.\n10. Name three cities.",
        "Write a poem.\nName three cities.",
        "Sure, here are two tasks:\n\nWrite a poem.\n\nName three cities.\n\nLet me know if you need more!",
        "Sure! Here are 2 tasks:\n\n1. Write a poem.\n2. Name three cities.\n\nLet me know if you need more!",
        "Here are 2 tasks:\n1. Write a poem.\n2. Name three cities.\nI hope these help.",
        "### Easy\n1. Write a poem.\n\n### Hard\n1. Name three cities.",
        "**Easy**\n\n1. Write a poem.\n\n**Hard**\n\n2. Name three cities.",
        "1. Write a poem.\n\n---\n\n2. Name three cities.",
        "1. Write\n   a poem.\n2. Name three\ncities.",
        "1. Write a poem.\r\n2. Name three cities.\r\n",
        "1. Write a poem.\n2. Name three cities.<|im_end|>\n<|endoftext|>\n",
        "1. Write a po\x00em.\n2. Name\x0bthree\x07 cities.\ufeff",
    ],
)
def test_a_list_is_read_whatever_its_format(reply: str) -> None:
    assert chat(reply) == TWO


def test_indented_bullets_belong_to_their_item() -> None:
    assert chat("- Name:\n  - a city\n  - a river\n- Sort it.") == ["Name: - a city - a river", "Sort it."]


def test_a_title_above_its_task_is_no_part_of_it() -> None:
    reply = "**1. Poem**\n\nWrite a poem.\n\n**2. Song**\n\nSing a song.\n\nLet me know!"
    assert chat(reply) == ["Write a poem.", "Sing a song."]
    assert chat("1. Write a poem.\n2. Sing a song.\n\nThat was fun.") == ["Write a poem.", "Sing a song."]


def test_bold_titles_go_and_bold_words_stay() -> None:
    assert chat("1. **Poem**: Write one.\n2. Explain the **bold** word.") == [
        "Write one.",
        "Explain the **bold** word.",
    ]


def test_quotes_that_enclose_no_whole_item_stay() -> None:
    assert chat('1. "Yes" or "no"\n2. "Why?" Explain.') == ['"Yes" or "no"', '"Why?" Explain.']


def test_a_single_line_is_one_item() -> None:
    assert chat("Write a poem about the sea:") == ["Write a poem about the sea:"]
    assert chat("Here is one:\nWrite a poem.") == ["Write a poem."]


def test_a_refusal_is_rejected_as_one() -> None:
    text = "I'm sorry, but I can't help with that."
    parsed = parse_instructions(text, api=Api.CHAT, first_number=9, max_items=8, finish_reason=STOP)
    assert parsed.kept == ()
    assert parsed.rejected == ((text, RejectReason.REFUSAL),)


def test_a_torn_json_list_keeps_the_whole_items() -> None:
    assert chat('["Write a poem.", "Say \\"hi\\".", "Name thr', LENGTH) == ["Write a poem.", 'Say "hi".']


def test_json_inside_an_item_is_content() -> None:
    assert chat('1. Sort this list:\n["b", "a"]\n2. Sort it.') == ['Sort this list: ["b", "a"]', "Sort it."]


def test_escapes_in_json_bring_no_control_characters_or_surrogates() -> None:
    assert chat(r'["Say \u0000hi twice", "Say \ud800 twice", "Sort\nit."]') == ["Say hi twice", "Sort it."]


def test_text_that_lost_a_character_is_no_instruction() -> None:
    assert chat("1. Write a poem about \ufffd\ufffd.\n2. Name three rivers.") == ["Name three rivers."]


def test_length_drops_the_last_item_of_every_format() -> None:
    assert chat("1. Write a poem.\n2. Name thr", LENGTH) == ["Write a poem."]
    assert chat("- Write a poem.\n- Name thr", LENGTH) == ["Write a poem."]
    assert chat("Write a poem.\nName thr", LENGTH) == ["Write a poem."]
    assert chat("Write a po", LENGTH) == []


def test_an_empty_reply_has_no_items() -> None:
    assert chat("") == completion("") == chat(" \n\t\n") == chat("1.\n2.\n") == chat("---") == []


SENTENCES = st.lists(
    st.from_regex(r"[A-Z][a-z]{1,8}( [a-z0-9.,']{1,8}){3,8}\?", fullmatch=True), min_size=2, max_size=9, unique=True
)
RENDERERS: dict[str, Callable[[int, str], str]] = {
    "dots": lambda number, text: f"{number}. {text}",
    "brackets": lambda number, text: f"{number}) {text}",
    "bold": lambda number, text: f"**Task {number}:** {text}\n",
    "headings": lambda number, text: f"## Task {number}\n{text}\n",
    "bullets": lambda _, text: f"- {text}",
    "dots and quotes": lambda number, text: f'{number}. "{text}"',
}


@pytest.mark.parametrize("name", RENDERERS)
@settings(deadline=None, max_examples=30)
@given(items=SENTENCES, start=st.sampled_from([1, 9]))
def test_a_rendered_chat_list_reads_back(name: str, items: list[str], start: int) -> None:
    listed = "\n".join(RENDERERS[name](number, text) for number, text in enumerate(items, start))
    assert chat(f"Sure! Here are some tasks:\n\n{listed}\n\nLet me know if you want more.") == items


@settings(deadline=None, max_examples=50)
@given(items=SENTENCES)
def test_a_rendered_completion_reads_back(items: list[str]) -> None:
    listed = "\n".join(f"{number}. {text}" for number, text in enumerate(items, 9))
    assert completion(listed.removeprefix("9.")) == items


def squeezed(text: str) -> str:
    return re.sub(r"[\s*_=-]+", "", text)


MARKERS = st.sampled_from(
    [
        "1. ",
        "2) ",
        "9. ",
        "10. ",
        "\n10. ",
        "- ",
        "* ",
        "**",
        "__",
        "# ",
        "```",
        "---",
        "[",
        '"',
        "{",
        "Task 1:",
        "Sure!",
        ":",
    ]
)
REPLIES = st.lists(MARKERS | st.text(max_size=8) | st.sampled_from(["\n", "\n\n", "  ", "word"]), max_size=25).map(
    "".join
)


@settings(deadline=None, max_examples=400)
@given(
    text=REPLIES,
    api=st.sampled_from(Api),
    first=st.integers(1, 12),
    limit=st.integers(0, 9),
    reason=st.sampled_from(FinishReason),
)
def test_any_reply_gives_few_tidy_pieces_of_itself(
    text: str, api: Api, first: int, limit: int, reason: FinishReason
) -> None:
    parsed = parse_instructions(text, api=api, first_number=first, max_items=limit, finish_reason=reason)
    items = parsed.kept
    assert len(items) <= limit
    whole = squeezed(cleaned(text))
    for item in items:
        assert item == " ".join(item.split()) != ""
        assert "\\" in text or squeezed(item) in whole


@pytest.mark.parametrize(
    ("piece", "num_items"),
    [
        ("9", 0),
        (" ", 0),
        ("\n", 0),
        ("*", 0),
        ("**a", 0),
        ("Task ", 0),
        ("1. ", 0),
        ("[", 0),
        ('["', 0),
        ('\\"', 0),
        ("{\n", 0),
        ("```\n", 0),
        ("(1", 0),
        ("x\n", 0),
        ("- x\n", 20),
        ("1. x\n", 20),
        ("# x\n", 0),
        ("\ud800", 0),
        ("</s> ", 0),
    ],
)
def test_a_megabyte_of_anything_is_read(piece: str, num_items: int) -> None:
    text = piece * ((MEGABYTE // 5 if "\n" in piece else MEGABYTE) // len(piece))  # lines take longer
    assert len(chat(text)) == num_items
    assert len(completion(text)) <= 20
    assert parse_classification(text) is None


# Stage 2


@pytest.mark.parametrize(
    "reply",
    [
        "Yes",
        " yes",
        "YES.",
        "\nYes",
        "**Yes**",
        "__Yes__",
        '"Yes"',
        "`Yes`",
        "- Yes",
        "Answer: Yes",
        "**Answer:** Yes",
        "Label task: yes",
        "Is it one? Yes",
        "True",
        "Yes, it is.",
        *(
            "是",
            "是的，这是分类任务。",
            "答案：是",
            "はい。",
            "「はい」",
            "네",
            "예, 맞습니다",
            "Ja.",
            "Oui",
            "Réponse : Oui",
            "Sí",
            "¡Sí!",
            "Si.",
        ),
        *("Sim", "Sì", "Да", "\u200fنعم", "हाँ", "उत्तर: हाँ"),
        "Yes\n\nTask: Sort it.\nLabel task: No",
    ],
)
def test_a_yes_at_the_beginning_is_a_yes(reply: str) -> None:
    assert parse_classification(reply) is True


@pytest.mark.parametrize(
    "reply",
    [
        "No",
        " no.",
        "**No**",
        "Answer: No",
        "Label task:\n\nNO",
        "false",
        "No, yes is wrong.",
        "否",
        "不是分类任务。",
        "いいえ",
        "回答：いいえ",
        "아니요",
        "Nein",
        "Non.",
        "Não",
        "Нет.",
        "لا",
        "नहीं",
    ],
)
def test_a_no_at_the_beginning_is_a_no(reply: str) -> None:
    assert parse_classification(reply) is False


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "Maybe",
        "Not sure",
        "Nothing",
        "yesterday",
        "Yes/No",
        "yes or no",
        "I say yes",
        "**Yes** or **No**",
        "是否",
        "是或否",
        "はいまたはいいえ",
        "예 또는 아니요",
        "예를 들어",
        "Ja oder Nein",
        "Jahr",
        "Oui ou non",
        "Sí o no",
        "Si el texto",
        "Sim ou não",
        "Sì o no",
        "Да или нет",
        "نعم أو لا",
        "हाँ या नहीं",
    ],
)
def test_anything_else_is_neither(reply: str) -> None:
    assert parse_classification(reply) is None


@settings(deadline=None)
@given(text=st.text())
def test_any_answer_is_yes_no_or_neither(text: str) -> None:
    assert parse_classification(text) in {True, False, None}


@pytest.mark.parametrize(("first_number", "start"), [(2, 9), (3, 9), (2, 17), (9, 40), (9, 1), (9, 12)])
def test_a_list_that_counts_on_may_start_from_any_number(first_number: int, start: int) -> None:
    text = "".join(f"{start + i}. {name} the lake\n" for i, name in enumerate(("Name", "Paint", "Cross")))
    found = parse_instructions(
        text, api=Api.CHAT, first_number=first_number, max_items=8, finish_reason=FinishReason.STOP
    )
    assert list(found.kept) == ["Name the lake", "Paint the lake", "Cross the lake"]


def test_years_at_line_starts_are_no_item_numbers() -> None:
    text = "Name what happened in these years:\n2016. A vote\n2017. A flight"
    found = parse_instructions(text, api=Api.CHAT, first_number=9, max_items=8, finish_reason=FinishReason.STOP)
    assert all("201" in item for item in found.kept if "vote" in item or "flight" in item)
