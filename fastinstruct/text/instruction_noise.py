"""What models write into and around an instruction that is no part of it: annotations, roles, examples, holes, remarks.

Knows nothing of lists or runs. `instruction_fault` says why a text is no clean instruction; it holds for an instruction
however it was read, as text or as JSON. The other functions look at single lines. Every function takes any text, never
raises, and takes time linear in its length.
"""

from __future__ import annotations

import re
from collections import Counter

from fastinstruct.records import RejectReason
from fastinstruct.text.emptiness import empty_if_none
from fastinstruct.text.numbering import BULLET, LABEL, inline_markers, markers_of
from fastinstruct.text.phrases import is_refusal, leaks_into_instruction

__all__ = [
    "annotation_label",
    "begins_like_english",
    "has_trailing_brackets",
    "instruction_fault",
    "is_answer_heading",
    "is_annotation",
    "is_closing_remark",
    "is_commentary",
    "is_introduction",
    "is_repetitive",
    "is_role",
    "is_worked_example",
    "without_trailing_annotation",
]

# --------------------------------------------------------------------------------------------------------- annotations

_ANNOTATED = (
    # English
    "type|category|categories|difficulty|difficulty level|level|why|rationale|reason|reasoning|explanation|purpose|goal|skill|skills|"
    "skills? tested|tags?|topics?|domain|kind|genre|field|area|theme|word count|"
    "estimated time|time required|id|subject|task type|type of task|type of work|kind of work|complexity|is_classification|classification|requires input|input required|input needed|"
    # German, French, Spanish, Portuguese, Italian
    "typ|art|kategorie|schwierigkeit|schwierigkeitsgrad|warum|grund|begründung|ziel|zweck|thema|bereich|fähigkeit|"
    "catégorie|difficulté|niveau|pourquoi|raison|justification|objectif|but|thème|domaine|compétence|genre|"
    "tipo|categoría|dificultad|nivel|por qué|porqué|razón|motivo|objetivo|propósito|tema|área|habilidad|género|"
    "categoria|dificuldade|nível|por quê|por que|razão|propósito|habilidade|gênero|"
    "difficoltà|livello|perché|ragione|obiettivo|scopo|ambito|competenza|genere|"
    # Russian, Arabic, Hindi
    "тип|вид|категория|сложность|уровень|уровень сложности|почему|причина|обоснование|цель|тема|область|навык|жанр|"
    "النوع|نوع|الفئة|فئة|التصنيف|الصعوبة|صعوبة|مستوى الصعوبة|المستوى|السبب|لماذا|الهدف|الموضوع|المهارة|"
    "प्रकार|श्रेणी|कठिनाई|कठिनाई स्तर|स्तर|क्यों|कारण|उद्देश्य|विषय|कौशल|"
    # Chinese, Japanese, Korean
    "类型|類型|类别|類別|分类|分類|难度|難度|难度等级|等级|原因|理由|目的|目标|目標|主题|主題|领域|領域|备注|标签|標籤|技能|"
    "タイプ|種類|種別|カテゴリ|カテゴリー|難易度|レベル|テーマ|分野|スキル|ジャンル|"
    "유형|종류|카테고리|분류|난이도|수준|이유|목적|목표|주제|분야|기술|장르"
)
_CATEGORIES = (
    "creative|practical|technical|analytical|analysis|labell?ing|classification|writing|creative writing|reasoning|coding|programming|"
    "math|mathematics|translation|summari[sz]ation|open[- ]?ended|factual|easy|medium|hard|difficult|simple|moderate|beginner|"
    "intermediate|advanced|short|long|fun|educational|humou?r|poetry|science|history|general|general knowledge|brainstorming|editing|"
    "rewriting|extraction|question answering|planning|advice|conversation|role-?play|"
    "kreativ|praktisch|technisch|analytisch|einfach|mittel|schwer|leicht|créatif|créative|pratique|technique|analytique|facile|moyen|"
    "moyenne|difficile|creativ[oa]|práctic[oa]|técnic[oa]|analític[oa]|fácil|medi[oa]|difícil|criativ[oa]|prátic[oa]|médi[oa]|"
    "pratic[oa]|tecnic[oa]|analitic[oa]|творческ(?:ое|ая|ий)|практическ(?:ое|ая|ий)|техническ(?:ое|ая|ий)|аналитическ(?:ое|ая|ий)|"
    "л[её]гк(?:ое|ая|ий)|средн(?:ее|яя|ий)|сложн(?:ое|ая|ый)|إبداعي|إبداعية|عملي|عملية|تقني|تقنية|تحليلي|تحليلية|سهل|سهلة|متوسط|متوسطة|صعب|صعبة|"
    "रचनात्मक|व्यावहारिक|तकनीकी|विश्लेषणात्मक|आसान|मध्यम|कठिन|创意|创作|創意|实用|實用|技术|技術|分析|容易|简单|簡單|中等|困难|困難|难|"
    "創造的|実用的|技術的|分析的|簡単|普通|易しい|難しい|창의적|창작|실용적|실용|기술적|분석적|쉬움|보통|중간|어려움"
)
_LABEL = r"[*_`]{0,3}(?P<label>[^\W\d_](?:[^\s:：.!?。]| (?! )){0,30}?)[*_`]{0,3} ?[:：] ?[*_`]{0,3}(?= ?\S|$)"
_BULLETS = r"(?:[-*+–—•‣◦·●○→↳>] ?)?"
_LABELLED = re.compile(rf"{_BULLETS}[(（\[【*_]{{0,4}}{_LABEL}")
_KNOWN_LABEL = re.compile(rf"(?:{_ANNOTATED})", re.IGNORECASE)
_ENGLISH = re.compile(r"\b(?:the|is|are|was|were|of|and|with|has|have)\b", re.IGNORECASE)
_LABELLED_BY_DASH = re.compile(rf"{_BULLETS}[*_]{{0,3}}(?:{_ANNOTATED})[*_]{{0,3}} [–—-] ", re.IGNORECASE)
_BARE_CATEGORY = re.compile(
    rf"{_BULLETS}[(（\[【{{*_`#]{{0,4}}(?:{_CATEGORIES})(?: ?[/,&+·|] ?(?:{_CATEGORIES})){{0,4}}[)）\]】}}*_`]{{0,4}}[.。]?",
    re.IGNORECASE,
)
_TRAILING = re.compile(
    r"(?:(?<=[.!?。！？;…।؟\"”'’」])|(?<=[.!?।؟] )) ?(?P<open>[*_]{0,2}[(（\[【{][*_]{0,2})(?P<inner>[^()（）\[\]【】{}]{1,80})[*_]{0,2}[)）\]】}][*_]{0,2}[.。]?\Z"
)
_TRAILING_DASH = re.compile(r"(?<=[.!?。！？।؟])[\"”’」]? ?[-–—|·→] ?[*_]{0,3}(?P<inner>[^.!?。！？|\n]{1,60})\Z")
_TRAILING_LABEL = re.compile(
    r"[.!?。！？।؟] ?(?:[|/–—-] ?)?[*_]{0,3}(?:type|category|difficulty|why|rationale|难度|类型|类别|難易度|カテゴリー?|난이도|유형|"
    r"kategorie|schwierigkeit|catégorie|difficulté|categoría|dificultad|categoria|dificuldade|difficoltà|категория|сложность)"
    r"[*_]{0,3} ?[:：]",
    re.IGNORECASE,
)
_COMMENTARY = re.compile(
    r"[(\[*_ –—-]{0,4}(?:(?:this|the) (?:task|prompt|instruction|one|exercise|question|request)"
    r" (?:is|asks?|tests?|requires?|encourages?|challenges?|helps?|involves?|would|will|can|allows?|mixes|combines|focuses|checks?|aims?)\b|"
    r"这个任务|这项任务|此任务|このタスクは|この課題は|이 작업은|이 과제는|diese aufgabe (?:ist|prüft|fordert|testet|erfordert)|"
    r"cette tâche (?:est|demande|teste|exige)|esta tarea (?:es|requiere|pone|evalúa)|esta tarefa (?:é|exige|testa|requer)|"
    r"questo compito (?:è|richiede)|это задание (?:требует|проверяет)|эта задача (?:требует|проверяет)|هذه المهمة|यह कार्य)",
    re.IGNORECASE,
)


def annotation_label(line: str) -> str:
    """The label of a line such as "- Type: creative", in lower case; "" if the line has none of four words or fewer."""
    found = _LABELLED.match(line)
    if found is None or found["label"].count(" ") > 3:
        return ""
    return found["label"].casefold().strip("*_` ")


def is_annotation(line: str) -> bool:
    """Whether the line says something about a task ("Why: ...", "- Difficulty: easy", "(Creative)")."""
    if _KNOWN_LABEL.fullmatch(annotation_label(line)) or _BARE_CATEGORY.fullmatch(line):
        return True
    return _LABELLED_BY_DASH.match(line) is not None


def begins_like_english(text: str) -> bool:
    """Whether the text is in English, as far as its small words tell."""
    return _ENGLISH.search(text[:200]) is not None


def is_commentary(line: str) -> bool:
    """Whether the line comments on a task as a sentence ("This task tests ...")."""
    return _COMMENTARY.match(line) is not None


def without_trailing_annotation(text: str, *, is_common: bool = False) -> str:
    """The text without a remark in brackets after its last sentence ("(Creative)", "[Difficulty: easy]").

    Args:
        text: an instruction.
        is_common: whether most items of the reply end so: then any remark of three words or fewer goes.
    """
    found = _TRAILING.search(text[-100:]) or _TRAILING_DASH.search(text[-100:])
    if found is None:
        return text
    inner = found["inner"].strip(" *_")
    if is_annotation(inner) or (is_common and inner.count(" ") < 3):
        return text[: len(text) - len(text[-100:]) + found.start()].rstrip()
    return text


def has_trailing_brackets(text: str) -> bool:
    """Whether a short remark in brackets follows the last sentence."""
    found = _TRAILING.search(text[-100:]) or _TRAILING_DASH.search(text[-100:])
    return found is not None and found["inner"].count(" ") < 3


# ------------------------------------------------------------------------------------------ roles, examples and remarks

_ROLE = re.compile(
    r"(?:\#{1,4} ?|<\|)?[*_]{0,3}(?:user|human|assistant|system|ai|bot|chatbot|gpt|chatgpt|model|用户|用戶|助手|系统|人类|ユーザー|アシスタント|"
    r"사용자|어시스턴트|benutzer|nutzer|assistent|utilisateur|usuario|usuário|asistente|assistente|utente|пользователь|ассистент|"
    r"المستخدم|المساعد|उपयोगकर्ता|सहायक)[*_]{0,3} ?[:：]",
    re.IGNORECASE,
)
_IO_NAMES = (
    r"(?:(?:expected|sample|example|desired|possible|correct|model) )?(?:input|output|answer|response|solution|reply|completion)s?|"
    r"输入|輸入|输出|輸出|答案|回答|回复|期望输出|入力|出力|解答|응답|입력|출력|정답|답변|eingabe|ausgabe|antwort|lösung|"
    r"entrée|sortie|réponse|entrada|salida|respuesta|saída|resposta|ingresso|risposta|uscita|ввод|вывод|ответ|"
    r"входные данные|выходные данные|المدخلات|المخرجات|الإدخال|الإخراج|الإجابة|الجواب|इनपुट|आउटपुट|उत्तर"
)
_EXAMPLE = "examples?|beispiele?|exemples?|ejemplos?|exemplos?|esempi?o?|примеры?|例|例子|示例|예시|예|مثال|उदाहरण"
_IO_LINE = re.compile(rf"{_BULLETS}[*_`]{{0,3}}(?:{_IO_NAMES})(?: \d{{1,2}})?[*_`]{{0,3}} ?[:：]", re.IGNORECASE)
_IO_INSIDE = re.compile(
    rf"(?<=[.!?。！？;।؟\"”)*]) ?[(\[*_`-]{{0,4}} ?(?:{_IO_NAMES}|{_EXAMPLE})(?: \d{{1,2}})?[*_`]{{0,3}} ?[:：]", re.IGNORECASE
)
_ANSWERS = re.compile(
    r"[#*_ ]{0,8}(?:(?:sample|example|model|possible|the) )?(?:answers?|solutions?|outputs?|responses?|answer key|examples? of answers?|"
    r"antworten|lösungen|réponses|solutions|respuestas|soluciones|respostas|soluções|risposte|soluzioni|ответы|решения|الإجابات|الأجوبة|"
    r"उत्तर|答案|回答|解答|参考答案|정답|답안|해답)(?: ?\([^()]{1,20}\))?[*_ ]{0,4}[:：]?[*_ ]{0,4}",
    re.IGNORECASE,
)
_CLOSING = (
    r"let me know(?: if| when| whether| which| what you think| should| how|[.!]|$)|i hope (?:th(?:is|ese|at|e (?:list|tasks))|you (?:like|enjoy|find))|hope (?:this|these|that|it) help|feel free to (?:ask|reach|let|modif|adapt|use|adjust|pick|request)|"
    r"would you like (?:me|more|another|any|to see)|do you want (?:me|more)|is there anything else|happy to help|"
    r"if you(?:['’]d like| would like| want| need) (?:me|more|any|additional|further|other|help)|"
    r"(?:these|the above) (?:\w+ )?(?:tasks|instructions|prompts|examples)\b|this list (?:\w+ )?(?:includes|covers|contains|is|has)\b|"
    r"note:? (?:that )?(?:these|all|the|each|i)\b|all (?:of these )?(?:tasks|instructions|prompts) (?:are|can|above|differ|were|have)\b|"
    r"end of (?:list|tasks)|that(?:['’]s| is| makes| concludes) (?:all|the end|the list|eight|ten|\d)|please note|"
    r"i (?:can|could|will|would be happy to) (?:also )?(?:provide|add|write|give|generate|create) (?:more|another|additional|further)|"
    r"enjoy[.!]|good luck|"
    r"sag(?:en sie)? (?:mir )?bescheid|lassen sie (?:es )?mich wissen|lass (?:es )?mich wissen|ich hoffe|gerne? (?:kann|erstelle|helfe) ich|"
    r"diese aufgaben|wenn du (?:mehr|weitere|möchtest)|wenn sie (?:mehr|weitere|möchten)|falls (?:du|sie) (?:mehr|weitere|noch)|"
    r"n['’]hésite|j['’]espère|ces tâches|ces consignes|si vous (?:souhaitez|voulez|avez besoin)|si tu (?:veux|souhaites)|"
    r"espero que|avísame|avíseme|háznoslo|hazme saber|estas tareas|si (?:necesitas|quieres|desea|deseas|necesita) (?:más|otr)|"
    r"me avise|avise-me|estas tarefas|essas tarefas|se (?:precisar|quiser|desejar)|fammi sapere|spero che|questi compiti|se vuoi|se hai bisogno|"
    r"надеюсь|дайте знать|дай знать|если (?:вам |тебе )?(?:нужн|хотите|хочешь|понадоб|потребу)|эти задания|эти задачи|"
    r"آمل أن|أتمنى أن|أخبرني|إذا كنت (?:بحاجة|تريد|ترغب)|إذا أردت|هذه المهام|"
    r"आशा है|मुझे उम्मीद|मुझे बताएं|यदि आपको|अगर आपको|ये कार्य|"
    r"希望这些|希望這些|希望以上|希望对你|希望对您|如果你需要|如果您需要|如果需要|如需|如有需要|以上任务|以上是|这些任务|這些任務|需要我|"
    r"以上の|以上が|これらの(?:タスク|課題)|必要であれば|必要でしたら|ご要望|お役に立|他に(?:も|何か|必要)|さらに必要|"
    r"이 작업들|이 과제들|이상입니다|도움이 되|더 필요하|필요하시면|추가로 필요|원하시면"
)
_REMARK = re.compile(rf"[\s*_(\[>\"“–—-]*(?:please |kindly )?(?:{_CLOSING})", re.IGNORECASE)
_REMARK_INSIDE = re.compile(
    r"(?:(?<=[.!?。！？)”।؟])|(?<=[.!?]\" )) ?[*_(\[]{0,3}(?:let me know (?:if|when|whether|which|what you think|should)|i hope (?:this|these|you)|hope (?:this|these) help|feel free to (?:ask|reach|let|modif|adapt)|"
    r"would you like (?:me|more|another)|is there anything else|these (?:tasks|instructions|prompts) (?:are|cover|mix|range|should)|"
    r"if you(?:['’]d like| would like| want| need) (?:me to|more|any more|additional|further) |"
    r"希望这些|希望這些|希望以上|如果您需要|如有需要|如需|これらの(?:タスク|課題)は|必要であれば|도움이 되(?:길|었)|필요하시면|"
    r"lassen sie (?:es )?mich wissen|lass (?:es )?mich wissen|n['’]hésite|j['’]espère que ces|espero que est|avísame|fammi sapere|spero che quest|"
    r"надеюсь, |дайте знать|أخبرني إذا|आशा है)",
    re.IGNORECASE,
)
_BEFORE = re.compile(
    r"[\s*_(\"“]*(?:(?:sure|certainly|of course|absolutely|okay|ok|alright|got it|no problem|claro|por supuesto|bien sûr|certo|"
    r"natürlich|gerne|конечно|بالتأكيد|بالطبع|ज़रूर|बिल्कुल|물론(?:입니다|이죠)?|네|好的|当然(?:可以)?|當然(?:可以)?|はい|もちろん(?:です)?|"
    r"承知(?:いたしました|しました)?|わかりました)[,.!:，。！：、।]|"
    r"(?:here (?:are|is)|here['’]s|below (?:are|is)|the following (?:are|is)|hier sind|voici|aquí (?:están|tienes|hay|te)|aqui estão|ecco|"
    r"вот|إليك|यहाँ|यहां|以下是|下面是|这里是|以下に|以下は|다음은)[^.!?。！？]{0,120}[:：.。]?\Z)",
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

_TAGS = (
    r"a|b|i|u|p|s|q|br|hr|em|li|ol|ul|td|th|tr|h[1-6]|div|img|nav|pre|sub|sup|svg|var|body|code|form|head|html|link|main|meta|span|table|"
    r"title|input|label|button|script|style|strong|select|option|header|footer|section|article|canvas|video|audio|iframe|textarea|"
    r"mask|blank|anonymized|redacted|string|int|str|char|float|double|bool|vector|list|map|set|iostream|stdio\.h|T|K|V"
)
_HOLE_WORDS = (
    r"link|url|name|title|topic|company|customer|client|product|text|article|city|date|number|person|place|subject|insert|your|word|"
    r"sentence|paragraph|country|language|image|brand|industry|author|book|recipient|sender|location|address|email|phone|time|"
    r"amount|price|age|job|position|event|item|object|animal|color|colour|noun|verb|adjective|year|month|day|school|"
    r"placeholder|input|output|content|description|details|example|reference|quote|passage|list|code|review|here"
)
_HOLE = re.compile(
    # <web page ...>, <customer reply here>; no tag of HTML, no type's parameter
    rf"(?<![\w<“\"'‘`])<(?!/)(?!(?:{_TAGS})(?:[ />]))(?:[^\W\d_][^<>=\n]{{1,80}}|\.\.\.)>"
    # [link], [Customer Name], [insert a topic]; no [text](address), no [a, b]
    rf"|\[(?:(?:[A-Za-z'’]+[ _-]){{0,5}}(?:{_HOLE_WORDS})(?:[ _-][A-Za-z'’]+){{0,4}}|[A-Z][a-z]+(?: [A-Z][a-z]+){{1,3}})s?\](?!\()"
    r"|\{\{[^{}\n]{1,60}\}\}"
    rf"|\{{(?:[A-Za-z]+[ _-]){{0,3}}(?:{_HOLE_WORDS})s?\}}"
    r"|[\[【（(<{](?:此处|在此|这里|插入|填写|填入|您的|你的|ここに|여기에|hier einf|insérez|insertar|inserte|inserir|inserisci|вставьте|أدخل|यहाँ)[^\]】）)>}\n]{0,40}[\]】）)>}]"
)
_ONLY_A_HOLE = re.compile(r"[\[<{][^\[\]<>{}]{1,60}[\]>}][.]?")
_HOLE_SIGNS = ("<", "[", "{", "【", "（", "(")
_HEADING_INSIDE = re.compile(r"\s\#{2,6} ?\w|(?<=[.!?。！？] )\# \w")
_FENCE = re.compile(r"`{3}|~{3}|[.!?。！？] ?<br ?/?>|</?(?:task|tasks|instruction|instructions|item|prompt)>", re.IGNORECASE)
_ENDS_LIKE_A_MARKER = re.compile(
    r"(?:(?<=[.!?。！？] )|(?<=[.!?。！？]))(?<!No\. )(?<!Nr\. )(?<!Vol\. )(?<!pp\. )(?:[(\[]?\d{1,3}[.)\]:]|[•‣◦●▪■►➤*#|–—-]{1,3}|(?:task|instruction|prompt) ?\d{0,3}[:.]?|#[^\W\d]\w{1,30})\Z|[\"”],?[\]}]{0,2},\Z",
    re.IGNORECASE,
)
_ENDS_WITH_HEADING = re.compile(r"(?<=[.!?。！？] )(?:\w{1,30} ){0,3}\w{1,30}[:：]\Z")
_SENTENCE_END = ".!?。！？;；…।؟"
_TASK_LABEL_INSIDE = re.compile(
    r"(?<=[.!?。！？;।؟\"”)]) ?[*_]{0,3}(?:task|instruction|prompt|aufgabe|anweisung|tâche|consigne|tarea|tarefa|compito|задание|задача|"
    r"任务|任務|指令|タスク|指示|과제|지시|작업|المهمة|कार्य) ?\d{0,3}[*_]{0,3} ?[:：]",
    re.IGNORECASE,
)


def instruction_fault(text: str) -> RejectReason | None:
    """Why the text is no clean instruction, the first reason that applies; None if nothing speaks against it.

    Args:
        text: a candidate, with white space collapsed.
    """
    if not empty_if_none(text.strip()):
        return RejectReason.EMPTY
    if is_refusal(text):
        return RejectReason.REFUSAL
    if leaks_into_instruction(text):
        return RejectReason.TEMPLATE_LEAK
    if any(map(text.__contains__, _HOLE_SIGNS)) and (_HOLE.search(text) or _ONLY_A_HOLE.fullmatch(text)):
        return RejectReason.PLACEHOLDER
    if _BEFORE.match(text) or _REMARK.match(text) or _REMARK_INSIDE.search(text):
        return RejectReason.REMARK
    if _holds_a_marker(text):
        return RejectReason.MARKER
    return RejectReason.REPETITION if is_repetitive(text) else None


def _holds_a_marker(text: str) -> bool:
    if is_role(text) or is_worked_example(text) or _begins_with_a_number(text):
        return True
    if _IO_INSIDE.search(text) or _TASK_LABEL_INSIDE.search(text) or _TRAILING_LABEL.search(text):
        return True
    if _ENDS_LIKE_A_MARKER.search(text[-40:]) or _ENDS_WITH_HEADING.search(text[-140:]):
        return True
    if _FENCE.search(text) or _HEADING_INSIDE.search(text) or text.count("**") % 2:
        return True
    return _holds_a_later_number(text)


def _begins_with_a_number(text: str) -> bool:
    """Whether a list number or a label stands first; "A. Smith" and "2016. Then" may be content, "9. Write" is none."""
    for marker in markers_of(text):
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
    words = text.casefold().split()
    run, longest = 1, 1
    for before, word in zip(words, words[1:], strict=False):
        run = run + 1 if word == before and any(map(str.isalpha, word)) else 1
        longest = max(longest, run)
    if longest > 3 or (longest > 2 and len(words) < 8):
        return True
    if len(words) >= 16 and len(set(words)) * 4 < len(words):
        return True
    sentences = [part.strip() for part in re.split(r"[.!?。！？]", text.casefold()) if len(part.split()) > 2]
    if sentences and max(Counter(sentences).values()) > 2:
        return True
    return re.search(r"([^\W\d_])\1{7}", text) is not None
