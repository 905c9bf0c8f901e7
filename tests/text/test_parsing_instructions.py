"""Lists of instructions as models write them: every way of numbering, titles, annotations, remarks."""

import pytest

from fastinstruct.records import Api, FinishReason
from fastinstruct.text.numbering import markers_of
from fastinstruct.text.parsed import Parsed
from fastinstruct.text.parsing_instructions import parse_instructions

STOP = FinishReason.STOP
SEA = "Write a short poem about the quiet sea."
TIDES = "Explain how ocean tides work to children."
FOOD = "Suggest three healthy breakfasts for a busy week."
TWO, THREE = (SEA, TIDES), (SEA, TIDES, FOOD)


def read(text: str, finish_reason: FinishReason = STOP, api: Api = Api.CHAT, max_items: int = 20) -> Parsed[str]:
    return parse_instructions(text, api=api, first_number=9, max_items=max_items, finish_reason=finish_reason)


# ------------------------------------------------------------------------------------------------------------ numbering


@pytest.mark.parametrize(
    ("first", "second"),
    [
        *[("9. ", "10. "), ("9) ", "10) "), ("(9) ", "(10) "), ("[9] ", "[10] "), ("【9】", "【10】"), ("9: ", "10: ")],
        *[
            ("9、", "10、"),
            ("９．", "１０．"),
            ("９）", "１０）"),
            ("9\\. ", "10\\. "),
            ("9\\) ", "10\\) "),
            ("9.", "10."),
        ],
        *[("**9.** ", "**10.** "), ("#9 ", "#10 "), ("No. 9 ", "No. 10 "), ("№9 ", "№10 "), ("Task 9: ", "Task 10: ")],
        *[("IX. ", "X. "), ("ix) ", "x) "), ("(ix) ", "(x) "), ("i. ", "ii. "), ("Ⅸ. ", "Ⅹ. "), ("a) ", "b) ")],
        *[("A. ", "B. "), ("C. ", "D. "), ("⑨ ", "⑩ "), ("⑨", "⑩"), ("⑼ ", "⑽ "), ("❾ ", "❿ "), ("⒐ ", "⒑ ")],
        *[
            ("九、", "十、"),
            ("九. ", "十. "),
            ("第九、", "第十、"),
            ("第九题：", "第十题："),
            ("（九）", "（十）"),
            ("㈨ ", "㈩ "),
        ],
        *[("٩. ", "١٠. "), ("٩- ", "١٠- "), ("९. ", "१०. "), ("۹) ", "۱۰) "), ("9️⃣ ", "🔟 "), ("𝟗. ", "𝟏𝟎. ")],
        *[("9.) ", "10.) "), ("9.- ", "10.- "), ("9/ ", "10/ "), ("9º ", "10º "), ("<9> ", "<10> "), ("9 - ", "10 - ")],
        *[
            ("\u200b9. ", "\u200b10. "),
            ("\u200f9\u200f. ", "\u200f10\u200f. "),
            ("\u20689.\u2069 ", "\u206810.\u2069 "),
        ],
        *[
            ("9.\u00a0", "10.\u00a0"),
            ("9.\u3000", "10.\u3000"),
            ("> 9. ", "> 10. "),
            ("- 9. ", "- 10. "),
            ("🌊 9. ", "🌙 10. "),
        ],
        *[("а) ", "б) "), ("가. ", "나. "), ("ア. ", "イ. "), ("أ) ", "ب) "), ("क) ", "ख) "), ("甲、", "乙、")],
        *[("Aufgabe 9: ", "Aufgabe 10: "), ("Tâche 9 : ", "Tâche 10 : "), ("Tarea 9: ", "Tarea 10: ")],
        *[("Задание №9: ", "Задание №10: "), ("المهمة ٩: ", "المهمة ١٠: "), ("कार्य 9: ", "कार्य 10: ")],
        *[
            ("任务九：", "任务十："),
            ("タスク9：", "タスク10："),
            ("과제 9: ", "과제 10: "),
            ("Task nine: ", "Task ten: "),
        ],
        *[("- ", "- "), ("* ", "* "), ("• ", "• "), ("→ ", "→ "), ("- [ ] ", "- [ ] "), ("▪ ", "▪ "), ("🌊 ", "🌙 ")],
        *[("Task 9 (Creative): ", "Task 10 (Practical): "), ("**Task 9 (easy):** ", "**Task 10 (hard):** ")],
        *[
            ("### Task 9\n", "### Task 10\n"),
            ("Task 9:\n", "Task 10:\n"),
            ("任务九\n", "任务十\n"),
            ("`9.` ", "`10.` "),
        ],
    ],
)
def test_every_way_of_numbering_is_read(first: str, second: str) -> None:
    parsed = read(f"{first}{SEA}\n{second}{TIDES}")
    assert parsed == Parsed(kept=TWO)


@pytest.mark.parametrize(
    "line",
    ["I think so", "A man came", "9.5 metres", "No one knows", "item", "X-ray it", "9 lives", "a cat", "-x", "A - B"],
)
def test_words_that_only_look_like_numbers_are_no_markers(line: str) -> None:
    assert markers_of(line) == ()


@pytest.mark.parametrize(
    "reply",
    [
        f"9. {SEA} 10. {TIDES} 11. {FOOD}",
        f"9. {SEA}; 10. {TIDES}; 11. {FOOD}",
        f"(9) {SEA} (10) {TIDES} (11) {FOOD}",
        f"⑨ {SEA} ⑩ {TIDES} ⑪ {FOOD}",
        f"A. {SEA} B. {TIDES} C. {FOOD}",
        f"Task 9: {SEA} Task 10: {TIDES} Task 11: {FOOD}",
        f"**9.** {SEA} **10.** {TIDES} **11.** {FOOD}",
        f"• {SEA} • {TIDES} • {FOOD}",
        f"{SEA}; {TIDES}; {FOOD}",
        f"9. {SEA}<br>10. {TIDES}<br>11. {FOOD}",
        f"Sure! Here are more tasks: 9. {SEA}\n10. {TIDES}\n11. {FOOD}",
        f"Sure! Here are more tasks: 9. {SEA} 10. {TIDES} 11. {FOOD}",
        f"Of course, here you go: 1. {SEA}\n2. {TIDES}\n3. {FOOD}",
        f"| # | Task |\n|---|---|\n| 9 | {SEA} |\n| 10 | {TIDES} |\n| 11 | {FOOD} |",
        f"| No. | Category | Task |\n|---|---|---|\n| 9 | Fun | {SEA} |\n| 10 | Fun | {TIDES} |\n| 11 | Fun | {FOOD} |",
        f"<task>{SEA}</task>\n<task>{TIDES}</task>\n<task>\n{FOOD}\n</task>",
        f"<ol>\n<li>{SEA}</li>\n<li>{TIDES}</li>\n<li>{FOOD}</li>\n</ol>",
        f'"9. {SEA}",\n"10. {TIDES}",\n"11. {FOOD}"',
        f"```text\n9. {SEA}\n```\n\n```text\n10. {TIDES}\n11. {FOOD}\n```\nHope this helps!",
        f"* **Creative:**\n    * {SEA}\n    * {TIDES}\n* **Practical:**\n    * {FOOD}",
        f"- **Creative**\n  9. {SEA}\n  10. {TIDES}\n- **Practical**\n  11. {FOOD}",
        f"Creative\n9. {SEA}\n10. {TIDES}\nPractical\n11. {FOOD}",
        f"**Creative:**\n1. {SEA}\n2. {TIDES}\n**Practical:**\n1. {FOOD}",
        f"1. {SEA}\n1. {TIDES}\n1. {FOOD}",
        f"9. {SEA}\n9. {TIDES}\n10. {FOOD}",
    ],
)
def test_lists_of_all_shapes_are_read(reply: str) -> None:
    assert read(reply).kept == THREE


@pytest.mark.parametrize(
    ("reply", "kept"),
    [
        ("9. Which is a fruit? a) car b) apple c) stone", "Which is a fruit? a) car b) apple c) stone"),
        ("9. Order these: 1. Boil 2. Add tea 3. Wait", "Order these: 1. Boil 2. Add tea 3. Wait"),
        ("9. Do step 1: read, Step 2: sum up.", "Do step 1: read, Step 2: sum up."),
        ("9. Write about the year\n2016. Then compare it.", "Write about the year 2016. Then compare it."),
        ("9. Write a story with:\n   - a fox\n   - a hen", "Write a story with: - a fox - a hen"),
        ("9. Plan a trip.\n   - Add the costs\n   - Use a table", "Plan a trip. - Add the costs - Use a table"),
        ("9. Write 3 lines. (Do not use the letter e.)", "Write 3 lines. (Do not use the letter e.)"),
        ("9. Mix 3.5 litres of water and say why.", "Mix 3.5 litres of water and say why."),
        ('9. Rewrite this: "The cat sat."', 'Rewrite this: "The cat sat."'),
        ("9. Explain what C# and #tags are.", "Explain what C# and #tags are."),
        ("9. Describe Beethoven's Symphony No. 9.", "Describe Beethoven's Symphony No. 9."),
        ("9. Translate to French: What is it?\n10. Translate to Dutch: Who is it?", "Translate to French: What is it?"),
    ],
)
def test_content_that_looks_like_a_list_stays_whole(reply: str, kept: str) -> None:
    assert read(f"{reply}\n{'11' if '10.' in reply else '10'}. {TIDES}").kept[0] == kept


# ----------------------------------------------------------------------------------------------- titles and annotations


@pytest.mark.parametrize(
    "reply",
    [
        f"9. **Sizing:** {SEA}\n10. **Tides:** {TIDES}",
        f"9. **Haiku** - {SEA}\n10. **Tides** – {TIDES}",
        f"9. **Haiku**\n   {SEA}\n10. **Tides**\n   {TIDES}",
        f"9. Haiku: {SEA}\n10. Tides: {TIDES}",
        f"9. *Haiku*: {SEA}\n10. __Tides__: {TIDES}",
        f"**9. Haiku:** {SEA}\n**10. Tides:** {TIDES}",
        f"### Task 9: Haiku\n{SEA}\n\n### Task 10: Tides\n{TIDES}",
        f"## 9. Haiku\n\n{SEA}\n\n## 10. Tides\n\n{TIDES}",
        f"**Task 9: Haiku**\n{SEA}\n\n**Task 10: Tides**\n{TIDES}",
        f"**Haiku:** {SEA}\n\n**Tides:** {TIDES}",
        f"**Task 9**\n**Type:** creative\n**Task:** {SEA}\n\n**Task 10**\n**Type:** fun\n**Task:** {TIDES}",
        f"9. {SEA}\n   - Type: creative\n   - Difficulty: easy\n10. {TIDES}\n   - Type: fun\n   - Difficulty: hard",
        f"9. {SEA}\nWhy: It is calm.\n10. {TIDES}\nWhy: Children ask.",
        f"9. {SEA} (Creative)\n10. {TIDES} (Explanation)",
        f"9. {SEA} *(Category: creative)*\n10. {TIDES} [Type: practical]",
        f"9. {SEA}\n*Category: creative*\n\n10. {TIDES}\n*Category: practical*",
        f"9. {SEA}\n   *This task tests creativity.*\n10. {TIDES}\n   *This task tests clarity.*",
        f"9. {SEA} | Category: creative\n10. {TIDES} | Category: practical",
        f"9. {SEA} - Creative\n10. {TIDES} - Practical",
        f"9. [Creative] {SEA}\n10. (Technical) {TIDES}",
        f"9. {SEA}\n\n**Explanation:** It is calm.\n\n10. {TIDES}\n\n**Explanation:** They ask.",
        f"9. {SEA}\n   Weather: calm\n10. {TIDES}\n   Weather: windy",
        f"任务9：{SEA}\n类型：创意\n任务10：{TIDES}\n类型：实用",
        f"9. {SEA}（创意）\n10. {TIDES}（实用）",
        f"9. {SEA}\n   カテゴリ：創作\n10. {TIDES}\n   カテゴリ：理科",
        f"9. {SEA}\n   - 유형: 창의적\n10. {TIDES}\n   - 난이도: 쉬움",
        f"9. {SEA}\n   Schwierigkeit: leicht\n10. {TIDES}\n   Begründung: Kinder fragen.",
        f"9. {SEA}\nPourquoi : c'est calme.\n10. {TIDES}\nDifficulté : facile",
        f"9. {SEA}\n   Tipo: creativo\n10. {TIDES}\n   Dificultad: fácil",
        f"9. {SEA}\n   Тип: творческое\n10. {TIDES}\n   Сложность: легко",
        f"9. {SEA}\nالنوع: إبداعي\n10. {TIDES}\nالنوع: عملي",
        f"9. {SEA}\nप्रकार: रचनात्मक\n10. {TIDES}\nप्रकार: व्यावहारिक",
    ],
)
def test_titles_and_annotations_are_no_part_of_the_task(reply: str) -> None:
    assert read(reply).kept == TWO


@pytest.mark.parametrize(
    "remark",
    [
        "Let me know if you'd like more tasks!",
        "I hope these help.",
        "Would you like me to continue with tasks 11 to 16?",
        "These tasks cover a range of topics.",
        "Sag mir Bescheid, wenn du mehr brauchst!",
        "N'hésitez pas à me demander d'autres tâches !",
        "Espero que te sirvan.",
        "Fammi sapere se ne vuoi altri!",
        "Дайте знать, если нужно ещё!",
        "أخبرني إذا كنت تريد المزيد.",
        "आशा है यह मदद करेगा।",
        "希望这些任务对你有帮助！",
        "他に必要でしたらお知らせください。",
        "더 필요하시면 말씀해 주세요.",
    ],
)
@pytest.mark.parametrize("gap", ["\n", "\n\n"])
def test_closing_remarks_are_no_part_of_the_last_task(remark: str, gap: str) -> None:
    assert read(f"9. {SEA}\n10. {TIDES}{gap}{remark}").kept == TWO
    assert read(f"9. {SEA}\n- Type: fun\n10. {TIDES}\n- Type: fun{gap}{remark}").kept == TWO


DESCRIBE = "Describe a rainy day in Oslo to students."
FOUR = (*THREE, DESCRIBE)


@pytest.mark.parametrize(
    "introduction",
    [
        *[
            "以下是任务：",
            "当然可以！以下是一些新任务：",
            "好的，",
            "下面是八个新任务：",
            "以下はタスクです：",
            "다음은 작업입니다: ",
        ],
        *["Hier sind die Aufgaben: ", "Voici les tâches : ", "Aquí están las tareas: ", "Aqui estão as tarefas: "],
        *["Ecco i compiti: ", "Вот задания: ", "إليك المهام: ", "यहाँ कार्य हैं: ", "**New tasks:** ", "Tasks:"],
    ],
)
@pytest.mark.parametrize("number", ["{}. ", "{}、", "{}) ", "**{}.** "])
def test_a_first_item_on_the_line_of_an_introduction_is_read(introduction: str, number: str) -> None:
    told = f"{introduction}{number.format(9)}{SEA}\n{number.format(10)}{TIDES}"
    assert read(told).kept == TWO


@pytest.mark.parametrize("end", [";", ".;", ",", "；", "，"])
@pytest.mark.parametrize("gap", ["\n", " "])
@pytest.mark.parametrize("last", ["", "same"])
def test_what_stands_between_items_is_no_part_of_them(end: str, gap: str, last: str) -> None:
    bare = [task.rstrip(".") for task in FOUR]
    ends = [end] * 3 + [end if last else end.rstrip(";,；，")]
    parsed = read(gap.join(f"{n}. {task}{sign}" for n, (task, sign) in enumerate(zip(bare, ends, strict=True), 9)))
    assert [item.rstrip(".") for item in parsed.kept] == bare
    assert not any(item.endswith((";", ",", "；", "，")) for item in parsed.kept)


@pytest.mark.parametrize("sign", [" | ", " / ", "; ", " ｜ "])
def test_tasks_of_one_line_are_read_apart_or_rejected(sign: str) -> None:
    assert read(sign.join(THREE)).kept == THREE
    assert all(SEA not in item or item == SEA for item in read(sign.join(TWO)).kept)
    assert not any(TIDES in item for item in read(f"9. {sign.join(THREE)}\n10. {DESCRIBE}").kept)


@pytest.mark.parametrize("heading", ["**{}**", "**{}:**", "__{}__", "### {}", "{}:"])
@pytest.mark.parametrize("gap", ["\n", "\n\n"])
def test_numbers_that_begin_anew_below_a_heading_go_on_with_the_list(heading: str, gap: str) -> None:
    first, second = heading.format("Creative"), heading.format("Practical")
    assert read(f"{first}{gap}1. {SEA}\n2. {TIDES}\n\n{second}{gap}1. {FOOD}\n2. {DESCRIBE}").kept == FOUR


@pytest.mark.parametrize(
    "titles",
    [("Market Day", "Sizing Up", "Old Habits"), ("海", "潮汐", "早餐"), ("Ein Gedicht", "Gezeiten", "Frühstück")],
)
def test_paragraphs_with_titles_and_no_numbers_are_items(titles: tuple[str, ...]) -> None:
    steps = "Explain to Ann why bread rises: a short talk. Use steps: 1. flour, 2. yeast."
    tasks = (SEA, steps, "Marvel at the tides in forty words.")
    told = "\n\n".join(f"**{title}:** {task}" for title, task in zip(titles, tasks, strict=True))
    assert read(told).kept == tasks


def test_paragraphs_with_titles_that_are_no_tasks_give_nothing() -> None:
    assert read("**Pros:** It is cheap.\n\n**Cons:** It is slow.\n\n**Use:** It is for fun.").kept == ()


@pytest.mark.parametrize(
    "remark",
    [
        "Each task is different from the others.",
        "All of them are short.",
        "Jede Aufgabe ist anders.",
        "Chaque tâche est différente.",
        "Cada tarea es diferente.",
        "每个任务都不同。",
    ],
)
def test_a_remark_about_all_tasks_is_no_part_of_the_last(remark: str) -> None:
    assert read(f"9. {SEA}\n10. {TIDES}\n{remark}").kept == TWO


@pytest.mark.parametrize(
    "mark", ["„{}“", "‚{}‘", "＂{}＂", "‹{}›", "»{}«", "「{}」", "<b>{}</b>", "<p>{}</p>", "{} ✅", "🌊 {}", "- {}"]
)
def test_what_encloses_or_adorns_all_items_is_no_part_of_them(mark: str) -> None:
    assert read("\n".join(f"{n}. {mark.format(task)}" for n, task in enumerate(THREE, 9))).kept == THREE


@pytest.mark.parametrize(
    "task",
    ["Say what „Haus“ means and what „Hof“", "<b>Sort</b> these words: <b>b a</b>", "»A« comes first: is it »B«"],
)
def test_marks_around_two_parts_of_a_task_stay(task: str) -> None:
    assert read(f"9. {task}\n10. {TIDES}").kept[0] == task


def test_the_steps_of_a_task_without_a_number_are_no_tasks() -> None:
    for task in ("Name the colour you like best:", "**Sea:** Choose one of these:"):
        parsed = read(f"{SEA}\n\n{task}\n1. moon blue\n2. sun red\n\n{FOOD}")
        assert parsed.kept == ()
        assert task in parsed.rest


def test_a_task_on_the_line_of_a_greeting_is_not_lost_in_silence() -> None:
    assert SEA in read(f"Sure! {SEA}\n10. {TIDES}").rest


def test_titles_on_lines_of_their_own_stand_over_tasks_without_numbers() -> None:
    assert read(f"**Sea**\n{SEA}\n\n**Tides**\n{TIDES}\n\n**Food**\n{FOOD}").kept == THREE


@pytest.mark.parametrize("tail", ["\n11", "\n11.", " 11", " 11."])
def test_a_number_whose_item_is_missing_is_no_part_of_the_one_before(tail: str) -> None:
    assert all(item in TWO for item in read(f"9. {SEA}\n10. {TIDES}{tail}").kept)


def test_numbered_steps_alone_are_no_tasks() -> None:
    assert read(f"Step 1: {SEA}\nStep 2: {TIDES}").kept == ()


@pytest.mark.parametrize(
    "tasks",
    [
        ("写一首关于大海的短诗。", "向孩子们解释潮汐的原理。", "为忙碌的一周推荐三种健康早餐。"),
        (
            "海についての短い詩を書いてください。",
            "潮の満ち引きを子供に説明してください。",
            "朝食を三つ提案してください。",
        ),
        ("바다에 대한 짧은 시를 쓰세요.", "아이들에게 조수를 설명하세요.", "건강한 아침 식사 세 가지를 제안하세요."),
        ("Напиши короткое стихотворение о море.", "Объясни детям, как работают приливы.", "Предложи три завтрака."),
        ("اكتب قصيدة قصيرة عن البحر.", "اشرح للأطفال كيف يعمل المد والجزر.", "اقترح ثلاث وجبات إفطار صحية."),
        ("समुद्र पर एक छोटी कविता लिखिए।", "बच्चों को ज्वार-भाटा समझाइए।", "तीन स्वस्थ नाश्ते सुझाइए।"),
        ("Schreibe ein kurzes Gedicht.", "Erkläre Kindern die Gezeiten.", "Schlage drei Frühstücke vor."),
    ],
)
def test_lists_of_all_languages_are_read(tasks: tuple[str, ...]) -> None:
    numbered = [f"{number}. {task}" for number, task in enumerate(tasks, 9)]
    for told in ("\n".join(numbered), " ".join(numbered), "".join(numbered), "\n".join(tasks), " | ".join(tasks)):
        assert read(told).kept == tasks
    assert read("\n\n".join(f"### {place}\n{task}" for place, task in zip("甲乙丙", tasks, strict=True))).kept == tasks
    assert read("\n\n".join(f"**{place}：** {task}" for place, task in zip("甲乙丙", tasks, strict=True))).kept == tasks
    bare = [task.rstrip(".。।") for task in tasks]
    assert list(read("；".join(bare)).kept) == bare
