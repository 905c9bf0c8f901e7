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
