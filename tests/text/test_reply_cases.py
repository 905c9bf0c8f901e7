"""Replies as models and servers write them, each run for real: what is kept of it, and what is said of the rest.

The cases lie beside the repository (a folder each: `plan.py` gives the replies, `EXPECTED.md` says what people expect).
Here are the right values; every case is run with replies asked for as text, and with `auto`, which takes JSON where a
stage answers in it, and steps down to text elsewhere.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from aiohttp import web

from fastinstruct.errors import SeedError
from fastinstruct.exports import FORMATS
from fastinstruct.store import RunReader, without_examples
from fastinstruct.text.seeds import load_seeds
from places import SHARED
from replying import Pair, Sitting, chat, sit, task_of

REPLIES = SHARED / "data" / "replies"
pytestmark = pytest.mark.skipif(not REPLIES.is_dir(), reason="shared/data/replies is not there")
each_way = pytest.mark.parametrize("replies", ["text", "auto"])

TASKS = [
    "Write a short poem about the quiet sea.",
    "Explain how ocean tides work to children.",
    "Suggest three healthy breakfasts for a busy week.",
    "Describe a good morning routine for students.",
    "Translate the given German sentence into English.",
    "List five uses for an old glass jar.",
    "Draft an invitation to a village chess evening.",
    "Compare trains with buses for long journeys.",
    "Invent a riddle whose answer is a candle.",
    "Give advice to someone learning the violin late.",
]
MORE_TASKS = ["Name a dish without onions.", "Plan a rainy Sunday at home.", "Praise your favourite tool in one line."]
LABEL_TASKS = [
    "Decide whether the given hotel review is positive or negative.",
    "Say if the supplied headline is about sport or about politics.",
    "Classify the email below as urgent or not urgent please.",
    "Tell whether this animal name belongs to a bird or a fish.",
    "Judge the given sentence: is it formal or informal in tone?",
    "Sort the described food item into sweet or salty categories.",
    "Determine if a supplied statement expresses fact or opinion.",
]
DOG: Pair = ("The dog barks.", "El perro ladra.")
CAT: Pair = ("The cat sleeps.", "El gato duerme.")
ABOUT_A_DOG: Pair = ("The dog barks.", "A sentence about a dog that barks.")
WEATHER: tuple[Pair, ...] = (
    ("今天天气很好。", "The weather is nice today."),
    ("外面下雨了。", "It is raining outside."),
)
WAVES: tuple[Pair, ...] = (("", "Waves fold into the evening and the harbour sleeps."),)
MOON = "Still water holds the moon."


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What becomes of a case: which tasks are admitted, and what each of its stage-3 replies gives.

    `pairs` are told by a piece of the reply: each such reply has to come, and nothing else be kept. `reason` is the one
    why instances are rejected; "" where none is. `more_tasks` let each reply come. `json_stage` is
    answered in JSON, and `auto` takes it as such.
    """

    name: str
    pairs: Mapping[str, tuple[Pair, ...]]
    reason: str = ""
    tasks: tuple[str, ...] = tuple(TASKS[:6])
    more_tasks: tuple[str, ...] = ()
    target: int = 4
    flags: Mapping[str, Any] = field(default_factory=dict)
    json_stage: str = ""


CASES = [
    Case(
        name="01-label-after-input",
        pairs={
            "": (
                ("Sentence: I loved every minute of it.", "Positive"),
                ("Sentence: The room was filthy and loud.", "Negative"),
                ("Sentence: It was acceptable, nothing more.", "Neutral"),
            )
        },
        tasks=tuple(LABEL_TASKS),
    ),
    Case(name="02-zh-markers", pairs={"示例 1": WEATHER}),
    Case(name="03-zh-inside-example", pairs={"Example 1": WEATHER}),
    Case(
        name="04-example-headings",
        pairs=dict.fromkeys(("Example #1", "Example One", "Example 1 (easy)", "Beispiel 1"), (DOG, CAT)),
    ),
    Case(
        name="06-no-input-phrases",
        pairs={
            f"Input: {words}\n": WAVES
            for words in (
                "No input is needed for this task.",
                "Not applicable",
                "N/A (no input needed)",
                "None required",
                "`N/A`",
                '""',
                "无",
                "なし",
                "нет",
                "Not required",
                "(No specific input provided)",
                "This task does not require any input.",
            )
        },
        tasks=tuple(TASKS + MORE_TASKS),
        more_tasks=tuple(TASKS[6:] + MORE_TASKS),
        target=13,
        flags={"instructions.num_items": 13, "filters.max_repeated_output": 20},
    ),
    Case(
        name="07-chat-tails",
        pairs={
            "more examples!": (("a quiet bay", MOON),),
            "I hope this helps!": (("", MOON),),
            "These examples show": (("a bay", MOON),),
            "(Note: this is only": (("", MOON),),
        },
    ),
    Case(name="08-pairs-no-heading", pairs={"": (DOG, CAT)}),
    Case(name="09-harmony", pairs={"": (DOG,)}),
    Case(name="10-harmony-stripped", pairs={"": (DOG,)}),
    Case(name="15-titled-tasks", pairs={"": (ABOUT_A_DOG,)}),
    Case(name="16-numerals", pairs={"": (ABOUT_A_DOG,)}, tasks=tuple(TASKS), target=10),
    Case(name="17-json-numbered", pairs={"": (ABOUT_A_DOG,)}, json_stage="instructions"),
    Case(name="18-inline-list", pairs={"": (ABOUT_A_DOG,)}, tasks=tuple(TASKS[:3]), target=3),
    Case(name="19-plain-headings", pairs={"": (ABOUT_A_DOG,)}, tasks=tuple(TASKS[:8]), target=8),
    Case(
        name="21-task-in-content",
        pairs={
            "": (
                ("plan the launch", "Project plan\nTask: Design the logo\nOwner: Ann\nTask: Book the hall\nOwner: Bob"),
                ("plan the party", "Party plan\nTask: Order the cake\nOwner: Cy"),
            )
        },
    ),
    Case(name="22-nested-example", pairs={"": ()}, reason="uncertain"),
    Case(name="23-special-token-in-content", pairs={"": ()}, reason="template_leak"),
    Case(name="25-next-instruction", pairs={"": (DOG,)}),
    Case(name="26-json-instances", pairs={"[{": (DOG,), "```json": (DOG,)}, json_stage="instances"),
    Case(name="27-fences-quotes", pairs={"```\n": (DOG,), 'Input: "': (DOG,)}),
    Case(
        name="28-holes",
        pairs=dict.fromkeys(("<web page", "[image of", "[link to", "<code snippet>"), ()),
        reason="placeholder",
    ),
    Case(
        name="29-expected-output-label",
        pairs=dict.fromkeys(("Expected Output:", "\ninput:", "- Input:", "Answer:"), (DOG,)),
    ),
    Case(name="35-u2028-export", pairs={"": (("a\nb", "c\nd\ne"),)}),
    Case(
        name="40-torn-stop",
        pairs={"": (DOG,)},
        reason="truncated",
        tasks=(TASKS[0],),
        target=1,
    ),
    Case(
        name="41-example-titles",
        pairs={
            "Translating": (("Good morning.", "Buenos dias."), ("See you later.", "Hasta luego.")),
            "- Greeting": (("Good morning.", "Buenos dias."),),
        },
    ),
    Case(name="43-annotations", pairs={"": (ABOUT_A_DOG,)}),
    Case(
        name="44-missing-input-outputs",
        pairs=dict.fromkeys(
            (
                "As a language model",
                "Please provide the text",
                "I'm an AI language model",
                "no input was provided",
                "I can't view images",
                "real-time data",
            ),
            (),
        ),
        reason="refusal",
    ),
    Case(
        name="45-empty-outputs",
        pairs=dict.fromkeys(("N/A", "null", "<nooutput>", "(no output)", "Output: -", "TBD"), ()),
        reason="empty_output",
    ),
]


def plan_of(name: str) -> ModuleType:
    """A case's plan, with what its own server gives it."""
    spec = importlib.util.spec_from_file_location(f"plan_{name[:2]}", REPLIES / name / "plan.py")
    assert spec is not None
    assert spec.loader is not None
    plan = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plan)
    plan.chat, plan.web, plan.task_of = chat, web, task_of  # type: ignore[attr-defined]  # as the cases' README says
    return plan


async def run_of(name: str, folder: Path, replies: str, **flags: Any) -> Sitting:
    return await sit(folder / "run", plan_of(name).reply, **{"model.replies": replies, **flags})


def told_forms(json_stage: str) -> str:
    """How a run says that only this stage is asked for JSON, or none."""
    if not json_stage:
        return "replies are asked for as text"
    stages = ("instructions", "classification", "instances")
    return "replies are asked for as " + ", ".join(f"{'JSON' if s == json_stage else 'text'} ({s})" for s in stages)


@each_way
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_case_gives_exactly_what_its_replies_say(case: Case, replies: str, tmp_path: Path) -> None:
    plan = plan_of(case.name)
    plan.TASKS.extend(case.more_tasks)
    flags = {"model.replies": replies, "target": case.target, **case.flags}
    sitting = await sit(tmp_path / "run", plan.reply, **flags)
    has_examples = any(case.pairs.values())
    assert (sitting.ended_by, sitting.exit_code) == (("target", 0) if has_examples else ("no_examples", 3))
    assert sitting.notes == [told_forms(case.json_stage if replies == "auto" else "")]
    assert sorted(sitting.tasks) == sorted(case.tasks)
    answers = [outcome for outcome in sitting.outcomes if outcome.stage == "instances"]
    for piece, pairs in case.pairs.items():
        assert {answer.kept for answer in answers if piece in answer.reply} == {pairs}, piece
    assert {answer.kept for answer in answers} == set(case.pairs.values())
    assert {reason for answer in answers for _, reason in answer.rejected} == ({case.reason} - {""})
    with RunReader(sitting.folder) as reader:
        without = [(one.reason, one.detail) for one in without_examples(reader)]
    assert without == ([] if has_examples else [("rejected", case.reason)] * len(case.tasks))


# ----------------------------------------------------------------------------------------- servers that do not answer


@each_way
@pytest.mark.parametrize("name", ["12-empty-content-length", "13-null-content-length"])
async def test_a_model_whose_thinking_eats_its_tokens_is_told_once_and_soon(
    name: str, replies: str, tmp_path: Path
) -> None:
    sitting = await run_of(name, tmp_path, replies)
    assert sitting.exit_code == 1
    assert len(sitting.asked) <= 8
    (line,) = str(sitting.error).splitlines()
    assert "raise the stage's max_tokens, or turn thinking off" in line


@each_way
async def test_a_server_without_a_system_role_gets_its_words_in_the_users_message(
    replies: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sitting = await run_of("14-system-role", tmp_path, replies)
    refused = [body for body in sitting.asked if body["messages"][0]["role"] == "system"]
    merged = [body for body in sitting.asked if body["messages"][0]["role"] == "user"]
    assert len(refused) <= 8
    assert all("You invent tasks" in body["messages"][0]["content"] for body in merged if is_first_stage(body))
    assert sum("role system" in record.message for record in caplog.records) == 1
    # Its replies are all "x".
    assert (sitting.ended_by, sitting.exit_code) == ("unreadable", 3)
    assert sitting.result is not None
    assert sitting.result.stop is not None
    assert (sitting.result.stop.stage, sitting.result.stop.sample) == ("instructions", '"x"')
    assert {answer.outcome for answer in sitting.outcomes} == {"unreadable"}


def is_first_stage(body: Mapping[str, Any]) -> bool:
    return "Now write tasks" in body["messages"][-1]["content"]


@each_way
async def test_an_error_body_with_status_200_is_told_in_the_servers_words(replies: str, tmp_path: Path) -> None:
    sitting = await run_of("31-error200-no-key", tmp_path, replies)
    assert sitting.exit_code == 1
    (line,) = str(sitting.error).splitlines()
    assert "daily limit of 50 requests reached" in line


# ------------------------------------------------------------------------------------------------------------- files


@each_way
async def test_a_seed_whose_input_is_none_shows_none_in_prompts_and_exports(replies: str, tmp_path: Path) -> None:
    seeds = REPLIES / "34-seeds-alpaca-file" / "noinput.jsonl"
    sitting = await run_of("34-seeds-alpaca-file", tmp_path, replies, seeds=seeds)
    assert (sitting.ended_by, sitting.exit_code) == ("target", 0)
    told = json.dumps(sitting.asked, ensure_ascii=False)
    assert "Red fox in the snow" in told
    assert "noinput" not in told
    assert "N/A" not in told
    with RunReader(sitting.folder) as reader:
        FORMATS["alpaca"].write(reader, tmp_path / "rows.json", include_seeds=True)
    rows = json.loads((tmp_path / "rows.json").read_bytes())
    assert {row["instruction"]: row["input"] for row in rows if row["id"].startswith("seed")} == {
        "Write a haiku about a fox.": "",
        "Name a good book on gardening.": "",
        "Translate the sentence into German.": "",
    }


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("number.jsonl", (":1:", "output is a number", "write a string")),
        ("array.json", (":1:", "begins a list", "write one JSON object a line")),
    ],
)
def test_a_seed_file_that_cannot_be_read_is_told_with_line_and_advice(name: str, words: tuple[str, ...]) -> None:
    with pytest.raises(SeedError) as caught:
        load_seeds(REPLIES / "34-seeds-alpaca-file" / name)
    (line,) = str(caught.value).splitlines()
    for word in words:
        assert word in line


def test_a_seed_file_may_begin_with_a_byte_order_mark_and_end_its_lines_as_windows_does() -> None:
    (seed,) = load_seeds(REPLIES / "34-seeds-alpaca-file" / "crlf_bom.jsonl")
    assert (seed.instruction, seed.instances[0].output) == ("Schreibe ein Gedicht.", "Mein Satz")


@each_way
async def test_no_exported_row_ends_before_its_end(replies: str, tmp_path: Path) -> None:
    seeds = REPLIES / "35-u2028-export" / "seeds.jsonl"
    sitting = await run_of("35-u2028-export", tmp_path, replies, seeds=seeds)
    with RunReader(sitting.folder) as reader:
        for name, each in FORMATS.items():
            path = tmp_path / name / ("rows.jsonl" if name != "reference" else "rows")
            exported = each.write(reader, path, include_seeds=True)
            for file in (file for file in exported.files if file.suffix == ".jsonl"):
                text = file.read_bytes().decode("utf-8")
                assert text.splitlines() == text.removesuffix("\n").split("\n")
                assert all(json.loads(line) for line in text.splitlines())
            assert exported.num_examples == 7


@pytest.fixture
def kept_of_scripts(tmp_path: Path) -> Callable[..., list[int]]:
    """What `dedup` keeps of the rows of case 37, by their numbers."""
    from typed import invoke

    def kept(*options: str) -> list[int]:
        rows = (REPLIES / "37-dedup-scripts" / "rows.jsonl").read_bytes().splitlines()
        path, out = tmp_path / "rows.jsonl", tmp_path / "kept.jsonl"
        path.write_bytes(b"".join(row.replace(b"}", b', "n": %d}' % n) + b"\n" for n, row in enumerate(rows)))
        result = invoke(path, "--field", "t", "--out", out, "--overwrite", *options)
        assert result.exit_code == 0
        return [json.loads(line)["n"] for line in out.read_bytes().splitlines()]

    return kept


def test_copies_in_another_spelling_are_found_and_other_tasks_kept(kept_of_scripts: Callable[..., list[int]]) -> None:
    assert kept_of_scripts() == [0, 2, 4, 6, 8, 10, 11, 12, 13]


def test_every_case_that_lies_there_is_tested() -> None:
    elsewhere = {
        "12-empty-content-length",
        "13-null-content-length",
        "14-system-role",
        "31-error200-no-key",
        "34-seeds-alpaca-file",
        "37-dedup-scripts",
    }
    assert {path.name for path in REPLIES.iterdir() if path.is_dir()} == {case.name for case in CASES} | elsewhere
