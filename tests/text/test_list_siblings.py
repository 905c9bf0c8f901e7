"""Next of kin of the lists that people met: numbers, wrappers and languages of lists, in one run over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from replying import Outcome, Reply, chat, sit

TASKS = (
    "Write a short poem about the quiet sea.",
    "Explain how ocean tides work to children.",
    "Suggest three healthy breakfasts for a busy week.",
    "Describe a good morning routine for students.",
)
CHINESE = (
    "写一首关于大海的短诗。",
    "向孩子们解释潮汐的原理。",
    "为忙碌的一周推荐三种健康早餐。",
    "描述一个适合学生的早晨习惯。",
)
TITLES = ("Sea", "Tides", "Breakfasts", "Routine")
ROMAN = {1: "I", 2: "II", 3: "III", 4: "IV", 9: "IX", 10: "X", 11: "XI", 12: "XII"}
HAN = {9: "九", 10: "十", 11: "十一", 12: "十二"}
CIRCLED = {9: "⑨", 10: "⑩", 11: "⑪", 12: "⑫"}
DRAFT = "1. Maybe ask the user for a poem about seas.\n2. Maybe ask about tides for smaller kids."


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A reply of stage 1, and the tasks that are kept of it."""

    name: str
    reply: str
    tasks: tuple[str, ...] = TASKS
    reasons: frozenset[str] = frozenset()
    finish: str = "stop"


def listed(item: Callable[[int, str], str], tasks: Sequence[str] = TASKS, start: int = 9, gap: str = "\n") -> str:
    return gap.join(item(start + place, task) for place, task in enumerate(tasks))


def kept(name: str, reply: str, tasks: Sequence[str] = TASKS, *reasons: str, finish: str = "stop") -> Listed:
    return Listed(name=name, reply=reply, tasks=tuple(tasks), reasons=frozenset(reasons), finish=finish)


PLAIN = listed(lambda number, task: f"{number}. {task}")
STYLES: dict[str, Callable[[int, str], str]] = {
    "9)": lambda number, task: f"{number}) {task}",
    "(9)": lambda number, task: f"({number}) {task}",
    "[9]": lambda number, task: f"[{number}] {task}",
    "#9:": lambda number, task: f"#{number}: {task}",
    "9 -": lambda number, task: f"{number} - {task}",
    "9\\)": lambda number, task: f"{number}\\) {task}",
    "**9.**": lambda number, task: f"**{number}.** {task}",
    "**9. all**": lambda number, task: f"**{number}. {task}**",
    "__9.__": lambda number, task: f"__{number}.__ {task}",
    "`9.`": lambda number, task: f"`{number}.` {task}",
    "9、": lambda number, task: f"{number}、{task}",
    "九、": lambda number, task: f"{HAN[number]}、{task}",
    "（九）": lambda number, task: f"（{HAN[number]}）{task}",
    "第9条": lambda number, task: f"第{number}条：{task}",
    "⑨": lambda number, task: f"{CIRCLED[number]}{task}",
    "IX)": lambda number, task: f"{ROMAN[number]}) {task}",
    "(ix)": lambda number, task: f"({ROMAN[number].lower()}) {task}",
    "Task 9:": lambda number, task: f"**Task {number}:** {task}",
    "Aufgabe 9:": lambda number, task: f"Aufgabe {number}: {task}",
    "Tâche 9 :": lambda number, task: f"Tâche {number} : {task}",
    "任务9：": lambda number, task: f"任务{number}：{task}",
    "タスク9：": lambda number, task: f"タスク{number}：{task}",
    "작업 9:": lambda number, task: f"작업 {number}: {task}",
    "Задача 9:": lambda number, task: f"Задача {number}: {task}",
    "المهمة 9:": lambda number, task: f"المهمة {number}: {task}",
    "कार्य 9:": lambda number, task: f"कार्य {number}: {task}",
    "•": lambda _, task: f"• {task}",
    "- [ ]": lambda _, task: f"- [ ] {task}",
    "- 9.": lambda number, task: f"- {number}. {task}",
    "> 9.": lambda number, task: f"> {number}. {task}",
    "zero-width": lambda number, task: f"\u200b{number}. {task}",
    "direction": lambda number, task: f"\u200f{number}.\u200e {task}",
    "tab": lambda number, task: f"{number}.\t{task}",
    "no gap": lambda number, task: f"{number}.{task}",
    "“quotes”": lambda number, task: f"{number}. “{task}”",
    "bold all": lambda number, task: f"{number}. **{task}**",
    "9번.": lambda number, task: f"{number}번. {task}",
    "## 9.": lambda number, task: f"## {number}. {task}",
    "an annotation": lambda number, task: f"{number}. {task}\n   *Type: creative*",
    "a Chinese annotation": lambda number, task: f"{number}. {task}\n   难度：简单",
    "a reason why": lambda number, task: f"{number}. {task}\n   (Why: it is fun)",
}
TITLED: dict[str, Callable[[int, str], str]] = {
    "bold": lambda place, task: f"{9 + place}. **{TITLES[place]}:** {task}",
    "bold, colon outside": lambda place, task: f"{9 + place}. **{TITLES[place]}**: {task}",
    "dash": lambda place, task: f"{9 + place}. **{TITLES[place]}** - {task}",
    "on its line": lambda place, task: f"{9 + place}. **{TITLES[place]}**\n   {task}",
    "bold with its number": lambda place, task: f"**{9 + place}. {TITLES[place]}**\n{task}",
    "heading": lambda place, task: f"### {9 + place}. {TITLES[place]}\n{task}",
    "brackets": lambda place, task: f"{9 + place}. [{TITLES[place]}] {task}",
}
A, B, C, D = TASKS
SIBLINGS = [
    *(kept(f"the style {name}", listed(item)) for name, item in STYLES.items()),
    *(kept(f"the style {name}, items apart", listed(item, gap="\n\n")) for name, item in STYLES.items()),
    *(kept(f"Chinese in the style {name}", listed(item, CHINESE), CHINESE) for name, item in STYLES.items()),
    *(kept(f"a title, {name}", listed(item, start=0)) for name, item in TITLED.items()),
    *(
        kept(f"after {words}", f"{words}\n\n{PLAIN}")
        for words in [
            "Sure! Here are 4 new tasks:",
            "Natürlich! Hier sind neue Aufgaben:",
            "当然！以下是新任务：",
            "# New Tasks",
            "---",
        ]
    ),
    *(
        kept(f"before {words}", f"{PLAIN}\n\n{words}")
        for words in [
            "These tasks cover many kinds of work.",
            "Ich hoffe, diese Aufgaben helfen!",
            "希望这些任务对您有帮助！",
        ]
    ),
    kept("a first item on the preamble's line", f"Here are some tasks: {PLAIN}"),
    kept(
        "a first item on a Chinese preamble's line", "以下是任务：" + listed(lambda n, t: f"{n}. {t}", CHINESE), CHINESE
    ),
    kept("a first item without its number", PLAIN.removeprefix("9. ")),
    kept("one line of (9)", listed(lambda n, t: f"({n}) {t}", gap=" ")),
    kept("one line of ①", "".join(f"{sign}{task}" for sign, task in zip("①②③④", CHINESE, strict=True)), CHINESE),
    kept("one line of 9、", listed(lambda n, t: f"{n}、{t}", CHINESE, gap=" "), CHINESE),
    kept("one line of bold numbers", listed(lambda n, t: f"**{n}.** {t}", gap=" ")),
    kept("one line of bullets", " • ".join(["", *TASKS]).strip()),
    kept("two items on each line", f"9. {A} 10. {B}\n11. {C} 12. {D}"),
    kept("markdown categories", f"## Creative\n9. {A}\n10. {B}\n\n## Practical\n11. {C}\n12. {D}"),
    kept("German categories, numbers restart", f"Kreativ:\n1. {A}\n2. {B}\n\nPraktisch:\n1. {C}\n2. {D}"),
    kept("categories over bullets", f"Creative:\n- {A}\n- {B}\n\nPractical:\n- {C}\n- {D}"),
    kept("categories right above items", f"Creative:\n9. {A}\n10. {B}\nPractical:\n11. {C}\n12. {D}"),
    *(
        kept(f"JSON strings with {name}", json.dumps(strings))
        for name, strings in {
            "9、": [f"{n}、{t}" for n, t in enumerate(TASKS, 9)],
            "(9)": [f"({n}) {t}" for n, t in enumerate(TASKS, 9)],
            "Task 9:": [f"Task {n}: {t}" for n, t in enumerate(TASKS, 9)],
            "bold numbers": [f"**{n}.** {t}" for n, t in enumerate(TASKS, 9)],
            "roman numbers": [f"{ROMAN[n]}. {t}" for n, t in enumerate(TASKS, 9)],
            "circled numbers": [f"{CIRCLED[n]} {t}" for n, t in enumerate(TASKS, 9)],
            "bullets": [f"- {t}" for t in TASKS],
            "titles": [f"**Sizing:** {t}" for t in TASKS],
        }.items()
    ),
    kept("JSON objects", json.dumps([{"id": n, "task": t} for n, t in enumerate(TASKS)])),
    kept("JSON by numbers", json.dumps(dict(enumerate(TASKS, 9)))),
    kept("lines of JSON", "\n".join(json.dumps({"instruction": task}) for task in TASKS)),
    kept("JSON between remarks", f"Sure, here is the JSON:\n{json.dumps({'tasks': TASKS})}\nLet me know!"),
    kept("torn JSON", json.dumps({"tasks": TASKS})[:-30], TASKS[:3], "truncated"),
    kept("Python's list", repr(list(TASKS))),
    kept("YAML", "tasks:\n" + "\n".join(f'  - "{task}"' for task in TASKS)),
    kept("torn", PLAIN[:-10], TASKS[:3], "truncated", finish="length"),
    kept("torn in Chinese", listed(lambda n, t: f"{n}、{t}", CHINESE)[:-4], CHINESE[:3], "truncated", finish="length"),
    kept(
        "a thought before Chinese",
        f"<think>\n我们需要新任务。\n1. 也许写一首诗\n</think>\n\n{listed(lambda n, t: f'{n}. {t}', CHINESE)}",
        CHINESE,
    ),
    *(
        kept(f"a draft in {opening}", f"{opening}\n{DRAFT}\n{closing}\n\n{PLAIN}")
        for opening, closing in [
            ("<thinking>", "</thinking>"),
            ("[THINK]", "[/THINK]"),
            ("◁think▷", "◁/think▷"),
            ("", "</think>"),
        ]
    ),
    kept(
        "harmony before JSON",
        f'<|channel|>analysis<|message|>{{"tasks": ["{A}"]}}<|end|>'
        f"<|start|>assistant<|channel|>final<|message|>{json.dumps({'tasks': TASKS[1:]})}<|return|>",
        TASKS[1:],
    ),
    kept("no list", "We need to think about what tasks to write. Maybe a poem.\nThen something about tides.", ()),
    kept("a refusal in German", "Es tut mir leid, dabei kann ich nicht helfen.", (), "refusal"),
]


def reply(stage: str, number: int, _: Mapping[str, Any]) -> Reply:
    if stage != "instructions":
        return "No" if stage == "classification" else "Output: A fine answer."
    sibling = SIBLINGS[number] if number < len(SIBLINGS) else kept("more", PLAIN)
    return chat(sibling.reply, finish=sibling.finish)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Outcome]:
    """What each sibling came to, in one run that asks for one after another."""
    flags = {
        "model.replies": "text",
        "target": 1 + sum(len(sibling.tasks) for sibling in SIBLINGS),  # so that all of them are asked for
        "budget.max_requests": 10_000,
        "runtime.max_in_flight": 1,
        "instructions.num_machine_in_context": 0,  # what a prompt shows would be an echo
        "similarity.threshold": 1.0,
        "filters.max_repeated_output": 10_000,
        "filters.max_unreadable": 1.0,
    }
    sitting = asyncio.run(sit(tmp_path_factory.mktemp("lists") / "run", reply, **flags))
    assert (sitting.ended_by, sitting.exit_code) == ("target", 0)
    answers = sorted((one for one in sitting.outcomes if one.stage == "instructions"), key=lambda one: one.number)
    return {sibling.name: answer for sibling, answer in zip(SIBLINGS, answers, strict=False)}


@pytest.mark.parametrize("sibling", SIBLINGS, ids=lambda sibling: sibling.name)
def test_of_a_list_exactly_its_tasks_are_kept(sibling: Listed, outcomes: Mapping[str, Outcome]) -> None:
    answer = outcomes[sibling.name]
    assert answer.kept == sibling.tasks
    assert {reason for _, reason in answer.rejected} == sibling.reasons
    assert answer.outcome == ("ok" if sibling.tasks or sibling.reasons else "unreadable")


def test_every_sibling_has_a_name_of_its_own() -> None:
    assert len({sibling.name for sibling in SIBLINGS}) == len(SIBLINGS)
