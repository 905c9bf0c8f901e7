"""Next of kin of what people met inside fields: remarks, no input, holes, refusals; in one run over HTTP.

Every reply has a task of its own. What is written beside it is all that may be kept of it.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from replying import Outcome, Pair
from siblings import POEM, Sibling, kept, of_each

BAY: Pair = ("a quiet bay", "Still water holds the moon.")
BAY_REPLY = "Example 1\nInput: a quiet bay\nOutput: Still water holds the moon."

REMARKS = [
    kept(f"the remark {remark}", f"{BAY_REPLY}\n\n{remark}", BAY, task=POEM)
    for remark in [
        "Let me know if you need anything else.",
        "Would you like me to write more examples?",
        "The above examples show how varied the inputs can be.",
        "(Word count: 5)",
        "Sag mir Bescheid, wenn du weitere Beispiele brauchst!",
        "Lassen Sie mich wissen, wenn Sie weitere Beispiele benötigen.",
        "Ich hoffe, das hilft!",
        "N'hésitez pas à me demander d'autres exemples !",
        "¡Espero que esto ayude!",
        "Se precisar de mais exemplos, é só avisar.",
        "Fammi sapere se hai bisogno di altri esempi.",
        "Надеюсь, это поможет!",
        "希望这些示例对您有帮助！",
        "お役に立てれば幸いです。",
        "더 많은 예시가 필요하시면 말씀해 주세요.",
        "آمل أن يكون هذا مفيدًا!",
        "आशा है यह मदद करेगा!",
    ]
] + [
    kept(f"right under the answer, {remark}", f"{BAY_REPLY}\n{remark}", task=POEM, reason="remark")
    for remark in ["Hope that helps!", "(Word count: 5)", "Ich hoffe, das hilft!", "希望这些示例对您有帮助！"]
]

NO_INPUT = [
    kept(f"the input {words}", f"Example 1\nInput: {words}\nOutput: Waves fold.", ("", "Waves fold."), task=POEM)
    for words in [
        "<noinput>",
        "(no input required)",
        "**None**",
        "This instruction does not need any input.",
        "Keine Eingabe erforderlich.",
        "entfällt",
        "Aucune entrée requise.",
        "Sin entrada",
        "Não se aplica",
        "Nessun input richiesto.",
        "Ввод не требуется.",
        "（无）",
        "不需要输入",
        "入力なし",
        "입력 없음",
        "لا يوجد إدخال",
        "कोई इनपुट नहीं",
    ]
] + [
    kept("Chinese markers around none", "示例 1\n输入：无\n输出：海浪轻轻。", ("", "海浪轻轻。"), task=POEM),
    kept(
        "an input that begins as none does",
        "Example 1\nInput: None of the guests came.\nOutput: Waves.",
        ("None of the guests came.", "Waves."),
        task=POEM,
    ),
]


def rejected(reason: str, *outputs: str, given: str = "a shop", task: str = POEM) -> list[Sibling]:
    """Replies whose output is nothing to keep."""
    replies = {output: f"Example 1\nInput: {given}\nOutput: {output}" for output in outputs}
    return [kept(f"{reason}: {output}", reply, task=task, reason=reason) for output, reply in replies.items()]


REJECTED = [
    *rejected(
        "placeholder", "<a short poem about the sea>", "[Your poem here]", "(insert a poem)", "...", "{{output}}"
    ),
    *rejected(
        "placeholder", "[Gedicht hier einfügen]", "[insérer le poème ici]", "[在此插入诗歌]", "[ここに詩を入れる]"
    ),
    *rejected("placeholder", "＜ここに詩＞", "[시를 여기에]", "[вставьте стихотворение]", "[أدخل القصيدة هنا]"),
    *rejected(
        "placeholder",
        "Dear [Customer Name], your [product] is ready.",
        "Liebe/r [Name], vielen Dank.",
        "尊敬的[姓名]，您好。",
    ),
    *rejected(
        "empty_output",
        "<no output>",
        "(none)",
        "To be determined",
        "无",
        "なし",
        "없음",
        "entfällt",
        "Sin salida",
    ),
    *rejected(
        "refusal", "Als KI-Sprachmodell kann ich nicht im Internet surfen.", "Lo siento, pero no puedo ayudar con eso."
    ),
    *rejected(
        "refusal", "Veuillez fournir le texte à résumer.", "抱歉，我无法提供帮助。", "テキストを提供してください。"
    ),
    *rejected("refusal", "Извините, но я не могу помочь с этим.", "죄송합니다. 도와드릴 수 없습니다."),
    *rejected("template_leak", "It begins with <|im_start|> and the role. The model then writes."),
    kept(
        "a hole as input, in German",
        "Beispiel 1\nEingabe: [Artikeltext]\nAusgabe: Es geht um Hunde.",
        reason="placeholder",
    ),
    kept("a hole as input, in Chinese", "示例 1\n输入：[文章内容]\n输出：一篇摘要。", reason="placeholder"),
]

SIBLINGS = [*REMARKS, *NO_INPUT, *REJECTED]


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
