"""What models write into and around an instruction that is no part of it: roles, examples, holes, remarks.

Knows nothing of lists or runs. `instruction_fault` says why a text is no clean instruction; it holds for an instruction
however it was read, as text or as JSON. The other functions look at single lines. Every function takes any text, never
raises, and takes time linear in its length.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from fastinstruct.records import RejectReason
from fastinstruct.text.annotations import TRAILING_LABEL
from fastinstruct.text.emptiness import empty_if_none
from fastinstruct.text.holes import is_hole_in_words
from fastinstruct.text.numbering import BULLET, LABEL, inline_markers, is_plain_prose, is_plain_sentence, markers_of
from fastinstruct.text.phrases import leaks_into_instruction
from fastinstruct.text.refusals import is_refusal
from fastinstruct.text.task_words import opens_a_task

__all__ = [
    "MAX_CHARACTERS",
    "instruction_fault",
    "is_answer_heading",
    "is_closing_remark",
    "is_introduction",
    "is_repetitive",
    "is_role",
    "is_worked_example",
]

_BULLETS = r"(?:[-*+–—•‣◦·●○→↳>] ?)?"

# ------------------------------------------------------------------------------------------ roles, examples and remarks

_ROLE = re.compile(
    r"(?:\#{1,4} ?|<\|)?[*_]{0,3}(?:user|human|assistant|system|ai|bot|chatbot|gpt|chatgpt|model|用户|用戶|助手|"
    r"系统|人类|ユーザー|アシスタント|"
    r"사용자|어시스턴트|benutzer|nutzer|assistent|utilisateur|usuario|usuário|asistente|assistente|utente|"
    r"пользователь|ассистент|"
    r"المستخدم|المساعد|उपयोगकर्ता|सहायक)[*_]{0,3} ?[:：]",
    re.IGNORECASE,
)
_IO_NAMES = (
    r"(?:(?:expected|sample|example|desired|possible|correct|model) )?(?:input|output|answer|response|solution|"
    r"reply|completion)s?|"
    r"输入|輸入|输出|輸出|答案|回答|回复|期望输出|入力|出力|解答|응답|입력|출력|정답|답변|eingabe|ausgabe|antwort|"
    r"lösung|"
    r"entrée|sortie|réponse|entrada|salida|respuesta|saída|resposta|ingresso|risposta|uscita|ввод|вывод|ответ|"
    r"входные данные|выходные данные|المدخلات|المخرجات|الإدخال|الإخراج|الإجابة|الجواب|इनपुट|आउटपुट|उत्तर"
)
_EXAMPLE = "examples?|beispiele?|exemples?|ejemplos?|exemplos?|esempi?o?|примеры?|例|例子|示例|예시|예|مثال|उदाहरण"
_IO_LINE = re.compile(rf"{_BULLETS}[*_`]{{0,3}}(?:{_IO_NAMES})(?: \d{{1,2}})?[*_`]{{0,3}} ?[:：]", re.IGNORECASE)
_IO_INSIDE = re.compile(
    rf"(?<=[.!?。！？;।؟\"”)*]) ?[(\[*_`-]{{0,4}} ?(?:{_IO_NAMES}|{_EXAMPLE})(?: \d{{1,2}})?[*_`]{{0,3}} ?[:：]",
    re.IGNORECASE,
)
_ANSWERS = re.compile(
    r"[#*_ ]{0,8}(?:(?:sample|example|model|possible|the) )?(?:answers?|solutions?|outputs?|responses?|answer key|"
    r"examples? of answers?|"
    r"antworten|lösungen|réponses|solutions|respuestas|soluciones|respostas|soluções|risposte|soluzioni|ответы|"
    r"решения|الإجابات|الأجوبة|"
    r"उत्तर|答案|回答|解答|参考答案|정답|답안|해답)(?: ?\([^()]{1,20}\))?[*_ ]{0,4}[:：]?[*_ ]{0,4}",
    re.IGNORECASE,
)
_CLOSING = (
    r"let me know(?: if| when| whether| which| what you think| should| how|[.!]|$)|i hope (?:th(?:is|ese|at|"
    r"e (?:list|tasks))|you (?:like|enjoy|find))|hope (?:this|these|that|it) help|feel free to (?:ask|reach|let|"
    r"modif|adapt|use|adjust|pick|request)|"
    r"would you like (?:me|more|another|any|to see)|do you want (?:me|more)|is there anything else|happy to help|"
    r"if you(?:['’]d like| would like| want| need) (?:me|more|any|additional|further|other|help)|"
    r"(?:these|the above) (?:\w+ )?(?:tasks|instructions|prompts|examples)\b|this list (?:\w+ )?(?:includes|covers|"
    r"contains|is|has)\b|"
    r"note:? (?:that )?(?:these|all|the|each|i)\b|all (?:of these )?(?:tasks|instructions|prompts) (?:are|can|above|"
    r"differ|were|have)\b|"
    r"(?:each|every one|all) of (?:them|these (?:tasks|instructions|prompts))\b|"
    r"each (?:task|instruction|prompt) (?:is|has|was|covers|asks|can)\b|"
    r"jede aufgabe (?:ist|hat)|chaque tâche (?:est|a)|cada tarea (?:es|tiene)|cada tarefa (?:é|tem)|"
    r"ogni compito (?:è|ha)|кажд(?:ое задание|ая задача)|كل مهمة|प्रत्येक कार्य|"
    r"每个任务都|每項任務|それぞれのタスクは|각 작업은|"
    r"end of (?:list|tasks)|that(?:['’]s| is| makes| concludes) (?:all|the end|the list|eight|ten|\d)|please note|"
    r"i (?:can|could|will|would be happy to) (?:also )?(?:provide|add|write|give|generate|create) (?:more|another|"
    r"additional|further)|"
    r"enjoy[.!]|good luck|"
    r"sag(?:en sie)? (?:mir )?bescheid|lassen sie (?:es )?mich wissen|lass (?:es )?mich wissen|ich hoffe|"
    r"gerne? (?:kann|erstelle|helfe) ich|"
    r"diese aufgaben|wenn du (?:mehr|weitere|möchtest)|wenn sie (?:mehr|weitere|möchten)|falls (?:du|sie) (?:mehr|"
    r"weitere|noch)|"
    r"n['’]hésite|j['’]espère|ces tâches|ces consignes|si vous (?:souhaitez|voulez|avez besoin)|si tu (?:veux|"
    r"souhaites)|"
    r"espero que|avísame|avíseme|háznoslo|hazme saber|estas tareas|si (?:necesitas|quieres|desea|deseas|"
    r"necesita) (?:más|otr)|"
    r"me avise|avise-me|estas tarefas|essas tarefas|se (?:precisar|quiser|desejar)|fammi sapere|spero che|"
    r"questi compiti|se vuoi|se hai bisogno|"
    r"надеюсь|дайте знать|дай знать|если (?:вам |тебе )?(?:нужн|хотите|хочешь|понадоб|потребу)|эти задания|эти задачи|"
    r"آمل أن|أتمنى أن|أخبرني|إذا كنت (?:بحاجة|تريد|ترغب)|إذا أردت|هذه المهام|"
    r"आशा है|मुझे उम्मीद|मुझे बताएं|यदि आपको|अगर आपको|ये कार्य|"
    r"希望这些|希望這些|希望以上|希望对你|希望对您|如果你需要|如果您需要|如果需要|如需|如有需要|以上任务|以上是|"
    r"这些任务|這些任務|需要我|"
    r"以上の|以上が|これらの(?:タスク|課題)|必要であれば|必要でしたら|ご要望|お役に立|他に(?:も|何か|必要)|さらに必要|"
    r"이 작업들|이 과제들|이상입니다|도움이 되|더 필요하|필요하시면|추가로 필요|원하시면"
)
_REMARK = re.compile(rf"[\s*_(\[>\"“–—-]*(?:please |kindly )?(?:{_CLOSING})", re.IGNORECASE)
_REMARK_INSIDE = re.compile(
    r"(?:(?<=[.!?。！？)”।؟])|(?<=[.!?]\" )) ?[*_(\[]{0,3}(?:let me know (?:if|when|whether|which|what you think|"
    r"should)|i hope (?:this|these|you)|hope (?:this|these) help|feel free to (?:ask|reach|let|modif|adapt)|"
    r"would you like (?:me|more|another)|is there anything else|these (?:tasks|instructions|prompts) (?:are|cover|"
    r"mix|range|should)|"
    r"if you(?:['’]d like| would like| want| need) (?:me to|more|any more|additional|further) |"
    r"希望这些|希望這些|希望以上|如果您需要|如有需要|如需|これらの(?:タスク|課題)は|必要であれば|도움이 되(?:길|었)|"
    r"필요하시면|"
    r"lassen sie (?:es )?mich wissen|lass (?:es )?mich wissen|n['’]hésite|j['’]espère que ces|espero que est|"
    r"avísame|fammi sapere|spero che quest|"
    r"надеюсь, |дайте знать|أخبرني إذا|आशा है)",
    re.IGNORECASE,
)
_BEFORE = re.compile(
    r"[\s*_(\"“]*(?:(?:sure|certainly|of course|absolutely|okay|ok|alright|got it|no problem|claro|por supuesto|"
    r"bien sûr|certo|"
    r"natürlich|gerne|конечно|بالتأكيد|بالطبع|ज़रूर|बिल्कुल|물론(?:입니다|이죠)?|네|好的|当然(?:可以)?|當然(?:可以)?|"
    r"はい|もちろん(?:です)?|"
    r"承知(?:いたしました|しました)?|わかりました)[,.!:，。！：、।]|"
    r"(?:here (?:are|is)|here['’]s|below (?:are|is)|the following (?:are|is)|hier sind|voici|aquí (?:están|tienes|"
    r"hay|te)|aqui estão|ecco|"
    r"вот|إليك|यहाँ|यहां|以下是|下面是|这里是|這裡是|以下为|以下為|以下に|以下は|以下が|こちらが|다음은|아래는|"
    r"여기)[^.!?。！？]{0,120}[:：.。]?\Z)",
    re.IGNORECASE,
)


def is_role(line: str) -> bool:
    """Whether the line begins as a turn of a conversation does ("User:", "### Assistant:")."""
    return _ROLE.match(line) is not None


def is_worked_example(line: str) -> bool:
    """Whether the line begins with the name of an input or an output ("Output:", "- Expected answer:", "输入：")."""
    return _IO_LINE.match(line) is not None


def is_answer_heading(line: str) -> bool:
    """Whether the line is a heading over answers: what follows is no list of tasks ("## Answers", "答案：")."""
    return _ANSWERS.fullmatch(line) is not None


def is_closing_remark(line: str) -> bool:
    """Whether the line speaks to the user about the list ("Let me know if ...", "希望这些 ...")."""
    return _REMARK.match(line) is not None


def is_introduction(line: str) -> bool:
    """Whether the line answers the user before a list ("Sure!", "Here are eight tasks:", "以下是 ...：")."""
    return _BEFORE.match(line) is not None


# -------------------------------------------------------------------------------------------------------------- faults

MAX_CHARACTERS = 20_000
"""What is longer is no instruction, and no line of a list."""

_TAGS = (
    r"a|b|i|u|p|s|q|br|hr|em|li|ol|ul|td|th|tr|h[1-6]|div|img|nav|pre|sub|sup|svg|var|body|code|form|head|html|link|"
    r"main|meta|span|table|"
    r"title|input|label|button|script|style|strong|select|option|header|footer|section|article|canvas|video|audio|"
    r"iframe|textarea|"
    r"mask|blank|anonymized|redacted|string|int|str|char|float|double|bool|vector|list|map|set|iostream|stdio\.h|T|K|V"
)
_HOLE_WORDS = (
    r"link|url|name|title|topic|company|customer|client|product|text|article|city|date|number|person|place|subject|"
    r"insert|your|word|"
    r"sentence|paragraph|country|language|image|brand|industry|author|book|recipient|sender|location|address|email|"
    r"phone|time|"
    r"amount|price|age|job|position|event|item|object|animal|color|colour|noun|verb|adjective|year|month|day|school|"
    r"placeholder|input|output|content|description|details|example|reference|quote|passage|list|code|review|here"
)
_HOLE = re.compile(
    # <web page ...>, <customer reply here>; no tag of HTML, no type's parameter
    rf"(?<![\w<“\"'‘`])<(?!/)(?!(?:{_TAGS})(?:[ />]))(?:[^\W\d_][^<>=\n]{{1,80}}|\.\.\.)>"
    # [link], [Customer Name], [insert a topic]; no [text](address), no [a, b]
    rf"|\[(?:(?:[A-Za-z'’]+[ _-]){{0,5}}(?:{_HOLE_WORDS})(?:[ _-][A-Za-z'’]+){{0,4}}|"
    rf"[A-Z][a-z]+(?: [A-Z][a-z]+){{1,3}})s?\](?!\()"
    r"|\{\{[^{}\n]{1,60}\}\}"
    rf"|\{{(?:[A-Za-z]+[ _-]){{0,3}}(?:{_HOLE_WORDS})s?\}}"
    r"|[\[【（(<{](?:此处|在此|这里|插入|填写|填入|您的|你的|ここに|여기에|hier einf|insérez|insertar|inserte|"
    r"inserir|inserisci|вставьте|أدخل|यहाँ)[^\]】）)>}\n]{0,40}[\]】）)>}]"
)
_ONLY_A_HOLE = re.compile(r"[\[<{][^\[\]<>{}]{1,60}[\]>}][.]?")
_HOLE_SIGNS = ("<", "[", "{", "【", "（", "(")
_HEADING_INSIDE = re.compile(r"\s\#{2,6} ?\w|(?<=[.!?。！？] )\# \w")
_FENCE = re.compile(
    r"`{3}|~{3}|[.!?。！？] ?<br ?/?>|</?(?:tasks?|instructions?|items?|prompts?|questions?)[ _-]?\d{0,3}>|"
    r"[.!?。！？][\"']? ?\\n",
    re.IGNORECASE,
)
_ENDS_LIKE_A_MARKER = re.compile(
    r"(?:(?<=[.!?。！？] )|(?<=[.!?。！？]))(?<!No\. )(?<!Nr\. )(?<!Vol\. )(?<!pp\. )(?:[(\[]?\d{1,3}[.)\]:]?|"
    r"[•‣◦●▪■►➤*#|–—-]{1,3}|(?:task|instruction|prompt) ?\d{0,3}[:.]?|#[^\W\d]\w{1,30})\Z|[\"”],?[\]}]{0,2},\Z",
    re.IGNORECASE,
)
_ENDS_WITH_HEADING = re.compile(r"(?<=[.!?。！？] )(?:\w{1,30} ){0,3}\w{1,30}[:：]\Z")
_SENTENCE_END = ".!?。！？;；…।؟"
_STEP = re.compile(
    r"[*_]{0,3}(?:(?:step|schritt|étape|paso|passo|passaggio|шаг|الخطوة|चरण|步骤|ステップ|단계) ?\d{1,3}|第.{1,3}步)"
    r"[*_]{0,3} ?[.:：)、]",
    re.IGNORECASE,
)
_TASK_LABEL_INSIDE = re.compile(
    r"(?<=[.!?。！？;।؟\"”)]) ?[*_]{0,3}(?:task|instruction|prompt|aufgabe|anweisung|tâche|consigne|tarea|tarefa|"
    r"compito|задание|задача|"
    r"任务|任務|指令|タスク|指示|과제|지시|작업|المهمة|कार्य) ?\d{0,3}[*_]{0,3} ?[:：]",
    re.IGNORECASE,
)


def instruction_fault(text: str) -> RejectReason | None:
    """Why the text is no clean instruction, the first reason that applies; None if nothing speaks against it.

    Args:
        text: a candidate, with white space collapsed.
    """
    return RejectReason.TOO_LONG if len(text) > MAX_CHARACTERS else _fault(text)


@lru_cache(maxsize=512)  # the parser asks about a candidate, and the filter once more
def _fault(text: str) -> RejectReason | None:
    if not empty_if_none(text.strip()):
        return RejectReason.EMPTY
    if "\ufffd" in text:  # stands for bytes that were no character
        return RejectReason.UNCERTAIN
    if is_refusal(text):
        return RejectReason.REFUSAL
    if leaks_into_instruction(text):
        return RejectReason.TEMPLATE_LEAK
    if any(map(text.__contains__, _HOLE_SIGNS)) and (_HOLE.search(text) or _ONLY_A_HOLE.fullmatch(text)):
        return RejectReason.PLACEHOLDER
    if is_hole_in_words(text):
        return RejectReason.PLACEHOLDER
    if _BEFORE.match(text) or _REMARK.match(text) or _REMARK_INSIDE.search(text):
        return RejectReason.REMARK
    if _holds_a_marker(text):
        return RejectReason.MARKER
    return RejectReason.REPETITION if is_repetitive(text) else None


def _holds_a_marker(text: str) -> bool:
    if is_plain_sentence(text):
        return False
    if is_plain_prose(text):
        return _ENDS_LIKE_A_MARKER.search(text[-40:]) is not None
    if is_role(text) or is_worked_example(text) or _begins_with_a_number(text):
        return True
    if (":" in text or "：" in text) and _holds_a_label(text):
        return True
    if _ENDS_LIKE_A_MARKER.search(text[-40:]):
        return True
    if _FENCE.search(text) or _HEADING_INSIDE.search(text) or text.count("**") % 2:
        return True
    return _holds_a_later_number(text)


def _holds_a_label(text: str) -> bool:
    """Whether a name and a colon stand where a sentence begins, or end the text."""
    labels = (_IO_INSIDE, _TASK_LABEL_INSIDE, TRAILING_LABEL)
    return any(label.search(text) for label in labels) or _ENDS_WITH_HEADING.search(text[-140:]) is not None


def _begins_with_a_number(text: str) -> bool:
    """Whether a list number or a label stands first; "A. Smith" and "2016. Then" may be content, "A. Write" is none."""
    if _STEP.match(text):
        return True
    if text.startswith((">", "#")):
        return text.lstrip("> #")[:1].isalnum() and " " in text[:8]
    for marker in markers_of(text):
        if opens_a_task(marker.rest) and not marker.rest[:1].islower():
            return True
        if marker.style in ("decimal", "sign", "ideographic", LABEL) and marker.number < 1000:
            return True
        if marker.style.startswith(BULLET):
            return True
    return False


def _holds_a_later_number(text: str) -> bool:
    """Whether a number above 1 stands where an item would begin, without the 1 before it of a list in the content."""
    seen: dict[str, int] = {}
    for start, end, marker in inline_markers(text):
        if marker.style not in ("decimal", "sign") or marker.number > 999:
            continue
        if marker.number == seen.get(marker.style, 0) + 1:
            seen[marker.style] = marker.number
        elif marker.style in seen and marker.number == 1:
            seen[marker.style] = 1
        elif (
            text[max(0, start - 2) : start].rstrip()[-1:] in _SENTENCE_END and text[end : end + 2].strip()[:1].isupper()
        ):
            return True
    return False


def is_repetitive(text: str) -> bool:
    """Whether one word, character or sentence is said over and over."""
    folded = text.casefold()
    words = folded.split()
    num_distinct = len(set(words))
    if num_distinct < len(words):
        longest = _longest_run(words)
        if longest > 3 or (longest > 2 and len(words) < 8):
            return True
        if len(words) >= 16 and num_distinct * 4 < len(words):
            return True
        parts = _SENTENCES.split(folded)
        sentences = [part.strip() for part in parts if len(part.split()) > 2] if len(parts) > 2 else []
        if sentences and max(Counter(sentences).values()) > 2:
            return True
    return any(_DRAWN_OUT.search(word) for word in words if len(word) > 7 and len(set(word)) < len(word) - 6)


_SENTENCES = re.compile(r"[.!?。！？]")
_DRAWN_OUT = re.compile(r"([^\W\d_])\1{7}")


def _longest_run(words: Sequence[str]) -> int:
    """How often the word that is said most often in a row is said."""
    run, longest = 1, 1
    for before, word in itertools.pairwise(words):
        if word != before:
            run = 1
        elif any(map(str.isalpha, word)):
            run += 1
            longest = max(longest, run)
    return longest
