"""What of a reply of stage 1 is rejected, and why; and what holds for any reply."""

import importlib.util
import re
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastinstruct.records import Api, FinishReason, RejectReason
from fastinstruct.text.instruction_noise import instruction_fault
from fastinstruct.text.markup import cleaned, collapsed
from fastinstruct.text.numbering import INVISIBLE
from fastinstruct.text.parsed import Parsed
from fastinstruct.text.parsing_instructions import parse_instructions, refined
from places import SHARED

CASES = SHARED / "data" / "replies"
STOP, LENGTH = FinishReason.STOP, FinishReason.LENGTH
SEA = "Write a short poem about the quiet sea."
TIDES = "Explain how ocean tides work to children."
FOOD = "Suggest three healthy breakfasts for a busy week."
TWO, THREE = (SEA, TIDES), (SEA, TIDES, FOOD)


def read(text: str, finish_reason: FinishReason = STOP, api: Api = Api.CHAT, max_items: int = 20) -> Parsed[str]:
    return parse_instructions(text, api=api, first_number=9, max_items=max_items, finish_reason=finish_reason)


def reasons(parsed: Parsed[str]) -> list[str]:
    return [reason.value for _, reason in parsed.rejected]


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ("Sort the words. Input: b a Output: a b", "template_leak"),
        ("Sort the words.\n   Input: b a\n   Output: a b", "marker"),
        ("What is the capital of France? Answer: Paris", "marker"),
        ('Write a tiny poem. Example: "The sea sleeps."', "marker"),
        (f"{SEA} 10.", "marker"),
        (f"User: {SEA}", "marker"),
        (f"{SEA} #creative", "marker"),
        (f"{SEA} Let me know if you need more!", "remark"),
        ("I'm sorry, but I can't do that.", "refusal"),
        ("Write a letter to [Customer Name] about the delay.", "placeholder"),
        ("Review this page: <web page with a review>", "placeholder"),
        ("Open [link] and tell what you see.", "placeholder"),
        ("[Task]", "placeholder"),
        ("N/A", "empty"),
        ("The the the the the the the", "repetition"),
        ("What does this print?\n```python\nprint(1)\n```", "uncertain"),
        (f"{SEA}\n- {FOOD}", "uncertain"),
        (f"{SEA}\nRoses are red and blue.", "uncertain"),
        (f"{SEA}\n\nRoses are red and blue.", "uncertain"),
        (f"{SEA}\n9.1 Use rhyme.\n9.2 Keep it short.", "uncertain"),
        ("Answer these.\n1. Who ran?\n2. Who hid?", "uncertain"),
        ("Answer the question.\n   Question: What is love?", "uncertain"),
        ("Haiku\nWrite one about the autumn.", "uncertain"),
    ],
)
def test_a_doubtful_item_is_rejected_and_its_neighbour_kept(item: str, reason: str) -> None:
    parsed = read(f"9. {item}\n10. {TIDES}")
    assert parsed.kept == (TIDES,)
    assert reasons(parsed) == [reason]


@pytest.mark.parametrize(
    "reply",
    [
        f"9. {SEA[:-1]} 10. {TIDES}",
        "9. write a poem about the sea 10. explain tides to kids 11. suggest a breakfast",
        f"9. {SEA}; {TIDES}; {FOOD}",
        f"1. {SEA}\n1. Who ran?\n2. Who hid?",
    ],
)
def test_glued_tasks_are_rejected(reply: str) -> None:
    parsed = read(reply)
    assert not any(TIDES in text and text != TIDES for text in parsed.kept)
    assert parsed.rejected


@pytest.mark.parametrize(
    "reply",
    [
        "The sea is calm and wide.\nThe moon is on the tide.",
        "Here is a poem about the sea:\n\nThe sea is calm.\nThe moon is high.",
        "Okay, so the user wants new tasks. I should vary them.\n\nMaybe poems. Maybe tides.",
        "Sure! What topics would you like?\n1. Creative writing\n2. Science",
        "1. The sea is calm tonight.\n2. The tide is full.",
        "I'm sorry, but I can't help with that.",
        "Es tut mir leid, aber ich kann dabei nicht helfen.",
        "很抱歉，我无法完成这个请求。",
        "---",
        "...",
        "**",
        f"Human: {SEA}\n\nAssistant: Waves roll.\n\nHuman: {TIDES}",
    ],
)
def test_an_answer_instead_of_a_list_gives_no_instruction(reply: str) -> None:
    parsed = read(reply)
    assert parsed.kept == ()
    assert parsed.rejected or parsed.stumbled_over


def test_a_list_ends_where_answers_or_another_speaker_begin() -> None:
    listed = f"1. {SEA}\n2. {TIDES}"
    for after in (
        "## Answers\n1. Waves.\n2. Moon.",
        "User: Hi\nAssistant: Hello",
        "1. The sea is calm.\n2. It is wide.",
    ):
        parsed = read(f"{listed}\n\n{after}")
        assert parsed.kept == TWO
        assert parsed.rest == after
        assert parsed.stumbled_over.startswith("lines that belong to no item: ")


def test_a_draft_before_the_list_that_goes_on_from_the_prompt_is_the_rest() -> None:
    parsed = read(f"I need tasks 9 to 16.\n1. Think of poems.\n2. Think of tides.\n\n9. {SEA}\n10. {TIDES}")
    assert parsed.kept == TWO
    assert "Think of poems." in parsed.rest


def test_a_torn_item_is_rejected_and_its_whole_neighbours_are_kept() -> None:
    for last in ("Explain how ocean ti", TIDES):
        parsed = read(f"9. {SEA}\n10. {last}", LENGTH)
        assert parsed.kept == (SEA,)
        assert parsed.rejected == ((last, RejectReason.TRUNCATED),)


def test_a_last_item_that_breaks_off_is_torn_though_the_server_says_stop() -> None:
    parsed = read(f"9. {SEA}\n10. {TIDES}\n11. Suggest three healthy break")
    assert parsed.kept == TWO
    assert reasons(parsed) == ["truncated"]


def test_items_beyond_the_limit_are_surplus() -> None:
    parsed = read(f"9. {SEA}\n10. {TIDES}\n11. {FOOD}", max_items=2)
    assert parsed.kept == TWO
    assert parsed.rejected == ((FOOD, RejectReason.SURPLUS),)


def test_what_follows_the_token_that_ends_a_turn_is_the_rest() -> None:
    parsed = read(f"9. {SEA}\n10. {TIDES}<|im_end|>\n<|im_start|>user\n11. Leaked.")
    assert parsed.kept == TWO


def test_a_completion_that_leaves_the_list_is_not_glued() -> None:
    base = Api.COMPLETIONS
    assert read(f" {SEA}\n{TIDES}\n{FOOD}", api=base).kept == ()
    assert read(f" {SEA} 10. {TIDES} 11. {FOOD}", api=base).kept == THREE
    assert read(f" **{SEA}**\n10. **{TIDES}**", api=base).kept == TWO
    assert read(f" {SEA}\nInput: x\nOutput: y\n10. {TIDES}", api=base).kept == (TIDES,)
    assert read(f" {SEA}\n10. {TIDES}\n\n## Answers\n\n1. Waves.\n2. Moon.", api=base).kept == TWO


def test_tasks_read_as_json_are_refined_alike() -> None:
    parsed = refined(Parsed(kept=(f"**Haiku:** {SEA}", f"**Tides:** {TIDES}", "Write to [Customer Name] now.")))
    assert parsed.kept == TWO
    assert reasons(parsed) == ["placeholder"]


# --------------------------------------------------------------------------------------------------------- shared cases


def replies_of(name: str) -> tuple[Callable[[str, int, dict[str, int]], str], list[str]]:
    path = CASES / name / "plan.py"
    if not path.exists():
        pytest.skip(f"{path} is not next to this checkout")
    spec = importlib.util.spec_from_file_location("plan", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.reply, module.TASKS


@pytest.mark.parametrize("name", ["15-titled-tasks", "17-json-numbered", "43-annotations", "25-next-instruction"])
def test_shared_lists_give_their_tasks(name: str) -> None:
    reply, tasks = replies_of(name)
    assert read(reply("instructions", 0, {})).kept == tuple(tasks)


def test_shared_numerals_give_their_tasks() -> None:
    reply, tasks = replies_of("16-numerals")
    assert [read(reply("instructions", n, {})).kept for n in range(5)] == [
        tuple(tasks[n * 2 : n * 2 + 2]) for n in range(5)
    ]


def test_a_shared_inline_list_gives_each_task_apart() -> None:
    reply, tasks = replies_of("18-inline-list")
    assert read(reply("instructions", 0, {})).kept == tuple(tasks[:3])


def test_shared_headings_are_glued_to_no_task() -> None:
    reply, tasks = replies_of("19-plain-headings")
    assert read(reply("instructions", 0, {})).kept == tuple(tasks[:4])
    assert read(reply("instructions", 1, {})).kept == tuple(tasks[4:8])


# ----------------------------------------------------------------------------------------------------------- properties

TASKS = st.lists(
    st.from_regex(r"(Write|Explain|Name|Describe|Sort) [a-z]{2,8}( [a-z]{2,8}){2,8}\.", fullmatch=True),
    min_size=2,
    max_size=7,
    unique=True,
)
NUMBERINGS: list[Callable[[int], str]] = [
    lambda n: f"{n}. ",
    lambda n: f"{n}) ",
    lambda n: f"**{n}.** ",
    lambda n: f"[{n}] ",
    lambda n: f"{n}\\. ",
    lambda n: f"Task {n}: ",
    lambda n: f"### Task {n}\n",
    lambda n: "- ",
    lambda n: "• ",
    lambda n: f"{chr(0x2460 + n - 1)} ",
    lambda n: f"\u200f{n}. ",
]
PREAMBLES = st.sampled_from(
    ["", "Sure! Here are more tasks:\n\n", "好的，以下是任务：\n", "```\n", "# Tasks\n\n", "Okay.\n"]
)
NOTES = st.sampled_from(
    ["", "\n   - Type: creative", "\nWhy: It is fun.", "\n*Category: practical*", "\n   难度：简单"]
)
REMARKS = st.sampled_from(
    ["", "\n\nLet me know if you need more!", "\nI hope these help.", "\n```", "\n---", "\n\nThe end."]
)
GAPS = st.sampled_from(["\n", "\n\n"])


@settings(deadline=None, max_examples=200)
@given(
    tasks=TASKS,
    numbering=st.sampled_from(NUMBERINGS),
    start=st.sampled_from([1, 9]),
    preamble=PREAMBLES,
    note=NOTES,
    remark=REMARKS,
    gap=GAPS,
    torn=st.booleans(),
)
def test_a_reply_composed_of_known_parts_gives_its_tasks_and_no_other(
    tasks: list[str],
    numbering: Callable[[int], str],
    start: int,
    preamble: str,
    note: str,
    remark: str,
    gap: str,
    torn: bool,
) -> None:
    listed = gap.join(f"{numbering(number)}{task}{note}" for number, task in enumerate(tasks, start))
    parsed = read(preamble + listed + remark, LENGTH if torn else STOP)
    expected = tasks[:-1] if torn else tasks
    assert set(parsed.kept) <= set(expected)
    sound = [task for task in expected if instruction_fault(task) is None]
    assert list(parsed.kept) == sound


PIECES = st.sampled_from(
    [
        *["1. ", "2) ", "9. ", "10. ", "11. ", "IX. ", "X. "],
        *["a) ", "九、", "⑨ ", "9️⃣ ", "\u200b9. ", "- ", "* ", "• "],
        *["Task 9: ", "### ", "**", "__", "`", "> ", "| 9 | ", " |\n", "```\n", "---\n", "<task>", "</task>", "<br>"],
        *[
            "Input: ",
            "Output: ",
            "Answer: ",
            "User: ",
            "Type: creative\n",
            "Why: it is\n",
            "(Creative)",
            "Let me know if",
        ],
        *["Sure! ", "Here are tasks:\n", "[link]", "<web page>", "N/A", "I'm sorry, but I can't help.", '"', "'", "“"],
        *[
            SEA,
            TIDES,
            FOOD,
            "Write",
            "the ",
            "; ",
            ": ",
            ".",
            "?",
            "\n",
            "\n\n",
            "   ",
            "<|im_end|>",
            "2016. ",
            "写一首诗。",
        ],
    ]
)


def plain(text: str) -> str:
    return re.sub(rf"[\s{INVISIBLE}*_`\"'“”#>|-]+", "", text)


@settings(deadline=None, max_examples=500)
@given(
    text=st.lists(PIECES | st.text(max_size=5), min_size=1, max_size=30).map("".join),
    api=st.sampled_from(Api),
    reason=st.sampled_from([STOP, LENGTH]),
    limit=st.integers(0, 9),
)
def test_any_reply_is_kept_from_or_counted(text: str, api: Api, reason: FinishReason, limit: int) -> None:
    parsed = read(text, reason, api, limit)
    assert len(parsed.kept) <= limit
    assert parsed.kept or parsed.rejected or parsed.stumbled_over or not text
    for item in parsed.kept:
        assert item == collapsed(item) != ""
        assert instruction_fault(item) is None
        assert plain(item) in plain(cleaned(text)) or (api is Api.CHAT and ("[" in text or "{" in text))


@pytest.mark.parametrize(
    "piece",
    [
        *[
            "9. A. ",
            "I. ",
            "A. ",
            "a) ",
            "; Write a",
            ". 9",
            "1. x\n",
            "- x\n",
            "* **A:**\n    * Write b\n",
            "Type: x\n",
        ],
        *[
            "| 1 | a |\n",
            "<task>x</task>\n",
            "\u200b",
            "九",
            "[a ",
            "<a ",
            "**a",
            "(x",
            "x: y\n",
            "> > x\n",
            "🌊 x\n",
            '"9. x",\n',
        ],
    ],
)
def test_a_megabyte_is_read_in_time_that_does_not_grow_with_it(piece: str) -> None:
    # What lies beyond the part that is read costs nothing; that part alone is bounded, with room for a busy machine.
    text = piece * (1_000_000 // len(piece))
    for api in Api:
        started = time.process_time()
        parsed = read(text, api=api)
        assert time.process_time() - started < 5
        assert parsed.kept or parsed.rejected or parsed.stumbled_over


@pytest.mark.parametrize("shape", ["9. {}\\n10. {}", "9. {} \\n\\n10. {}", '"9. {}\\n10. {}"', "- {}\\n- {}"])
def test_line_breaks_that_are_written_out_divide_items(shape: str) -> None:
    assert read(shape.format(*TWO)).kept == TWO


def test_a_written_line_break_after_a_sentence_is_no_content() -> None:
    assert reasons(read(f"9. {SEA}\\nBe brief.\n10. {TIDES}")) == ["marker"]
    assert read(f"9. Explain what \\n means in a string.\n10. {TIDES}").kept[1] == TIDES


@pytest.mark.parametrize("end", ["to", "the", "and", "of a", "und", "de la", "или"])
def test_a_last_item_that_ends_with_a_joining_word_is_torn(end: str) -> None:
    assert reasons(read(f"9. {SEA}\n10. Explain how the tides work {end}")) == ["truncated"]


@pytest.mark.parametrize("label", ["Constraint", "Tone", "Text", "要求", "Vorgabe"])
def test_a_part_of_the_task_on_a_line_of_its_own_is_not_left_out(label: str) -> None:
    for bullet in ("- ", ""):
        kept = read(f"9. {SEA}\n   {bullet}{label}: ten lines\n10. {TIDES}\n   {bullet}{label}: two lines").kept
        assert all(item.endswith("lines") for item in kept)
