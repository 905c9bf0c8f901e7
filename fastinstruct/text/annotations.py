"""What models say about a task beside it: its type, its difficulty, why they chose it.

Knows nothing of lists or runs. Every function looks at one line or text, never raises, and takes time linear in it.
"""

from __future__ import annotations

import re

__all__ = [
    "TRAILING_LABEL",
    "annotation_label",
    "begins_like_english",
    "has_trailing_brackets",
    "is_annotation",
    "is_commentary",
    "is_part_of_a_task",
    "without_trailing_annotation",
]

_ANNOTATED = (
    # English
    "type|category|categories|difficulty|difficulty level|level|why|rationale|reason|reasoning|explanation|purpose|"
    "goal|skill|skills|"
    "skills? tested|tags?|topics?|domain|kind|genre|field|area|theme|word count|"
    "estimated time|time required|id|subject|task type|type of task|type of work|kind of work|complexity|"
    "is_classification|classification|requires input|input required|input needed|"
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
    "类型|類型|类别|類別|分类|分類|难度|難度|难度等级|等级|原因|理由|目的|目标|目標|主题|主題|领域|領域|备注|标签|"
    "標籤|技能|"
    "タイプ|種類|種別|カテゴリ|カテゴリー|難易度|レベル|テーマ|分野|スキル|ジャンル|"
    "유형|종류|카테고리|분류|난이도|수준|이유|목적|목표|주제|분야|기술|장르"
)
_CATEGORIES = (
    "creative|practical|technical|analytical|analysis|labell?ing|classification|writing|creative writing|reasoning|"
    "coding|programming|"
    "math|mathematics|translation|summari[sz]ation|open[- ]?ended|factual|easy|medium|hard|difficult|simple|"
    "moderate|beginner|"
    "intermediate|advanced|short|long|fun|educational|humou?r|poetry|science|history|general|general knowledge|"
    "brainstorming|editing|"
    "rewriting|extraction|question answering|planning|advice|conversation|role-?play|"
    "kreativ|praktisch|technisch|analytisch|einfach|mittel|schwer|leicht|créatif|créative|pratique|technique|"
    "analytique|facile|moyen|"
    "moyenne|difficile|creativ[oa]|práctic[oa]|técnic[oa]|analític[oa]|fácil|medi[oa]|difícil|criativ[oa]|"
    "prátic[oa]|médi[oa]|"
    "pratic[oa]|tecnic[oa]|analitic[oa]|творческ(?:ое|ая|ий)|практическ(?:ое|ая|ий)|техническ(?:ое|ая|ий)|"
    "аналитическ(?:ое|ая|ий)|"
    "л[её]гк(?:ое|ая|ий)|средн(?:ее|яя|ий)|сложн(?:ое|ая|ый)|إبداعي|إبداعية|عملي|عملية|تقني|تقنية|تحليلي|تحليلية|"
    "سهل|سهلة|متوسط|متوسطة|صعب|صعبة|"
    "रचनात्मक|व्यावहारिक|तकनीकी|विश्लेषणात्मक|आसान|मध्यम|कठिन|创意|创作|創意|实用|實用|技术|技術|分析|容易|简单|簡單|"
    "中等|困难|困難|难|"
    "創造的|実用的|技術的|分析的|簡単|普通|易しい|難しい|창의적|창작|실용적|실용|기술적|분석적|쉬움|보통|중간|어려움"
)
_LABEL = r"[*_`]{0,3}(?P<label>[^\W\d_](?:[^\s:：.!?。]| (?! )){0,30}?)[*_`]{0,3} ?[:：] ?[*_`]{0,3}(?= ?\S|$)"
_BULLETS = r"(?:[-*+–—•‣◦·●○→↳>] ?)?"
_LABELLED = re.compile(rf"{_BULLETS}[(（\[【*_]{{0,4}}{_LABEL}")
_KNOWN_LABEL = re.compile(rf"(?:{_ANNOTATED})", re.IGNORECASE)
_ENGLISH = re.compile(r"\b(?:the|is|are|was|were|of|and|with|has|have)\b", re.IGNORECASE)
_LABELLED_BY_DASH = re.compile(rf"{_BULLETS}[*_]{{0,3}}(?:{_ANNOTATED})[*_]{{0,3}} [–—-] ", re.IGNORECASE)
_BARE_CATEGORY = re.compile(
    rf"{_BULLETS}[(（\[【{{*_`#]{{0,4}}(?:{_CATEGORIES})(?: ?[/,&+·|"
    rf"] ?(?:{_CATEGORIES})){{0,4}}[)）\]】}}*_`]{{0,4}}[.。]?",
    re.IGNORECASE,
)
_TRAILING = re.compile(
    r"(?:(?<=[.!?。！？;…।؟\"”'’」])|(?<=[.!?।؟] )) ?(?P<open>[*_]{0,2}[(（\[【{][*_]{0,2})"
    r"(?P<inner>[^()（）\[\]【】{}]{1,80})[*_]{0,2}[)）\]】}][*_]{0,2}[.。]?\Z"
)
_TRAILING_DASH = re.compile(r"(?<=[.!?。！？।؟])[\"”’」]? ?[-–—|·→] ?[*_]{0,3}(?P<inner>[^.!?。！？|\n]{1,60})\Z")
TRAILING_LABEL = re.compile(
    r"[.!?。！？।؟] ?(?:[|/–—-] ?)?[*_]{0,3}(?:type|category|difficulty|why|rationale|难度|类型|类别|難易度|"
    r"カテゴリー?|난이도|유형|"
    r"kategorie|schwierigkeit|catégorie|difficulté|categoría|dificultad|categoria|dificuldade|difficoltà|категория|"
    r"сложность)"
    r"[*_]{0,3} ?[:：]",
    re.IGNORECASE,
)
_PART_OF_A_TASK = re.compile(
    r"constraints?|requirements?|rules?|conditions?|restrictions?|limits?|(?:output |answer )?format|tone|length|style|"
    r"audience|context|scenario|steps|details|text|data|passage|sentences?|options|choices|words?|list|hints?|"
    r"vorgaben?|bedingung(?:en)?|text|kontext|contraintes?|contexte|texte|condiciones|restricciones|contexto|texto|"
    r"restrições|requisitos|vincoli|contesto|testo|условия|ограничения|контекст|текст|القيود|الشروط|النص|शर्तें|"
    r"要求|限制|条件|約束|文本|背景|格式|制約|文章|조건|제약|텍스트"
)
_COMMENTARY = re.compile(
    r"[(\[*_ –—-]{0,4}(?:(?:this|the) (?:task|prompt|instruction|one|exercise|question|request)"
    r" (?:is|asks?|tests?|requires?|encourages?|challenges?|helps?|involves?|would|will|can|allows?|mixes|combines|"
    r"focuses|checks?|aims?)\b|"
    r"这个任务|这项任务|此任务|このタスクは|この課題は|이 작업은|이 과제는|diese aufgabe (?:ist|prüft|fordert|"
    r"testet|erfordert)|"
    r"cette tâche (?:est|demande|teste|exige)|esta tarea (?:es|requiere|pone|evalúa)|esta tarefa (?:é|exige|testa|"
    r"requer)|"
    r"questo compito (?:è|richiede)|это задание (?:требует|проверяет)|эта задача (?:требует|проверяет)|هذه المهمة|"
    r"यह कार्य)",
    re.IGNORECASE,
)


def annotation_label(line: str) -> str:
    """The label of a line such as "- Type: creative", in lower case; "" if the line has none of four words or fewer."""
    found = _LABELLED.match(line)
    if found is None or found["label"].count(" ") > 3:
        return ""
    return found["label"].casefold().strip("*_` ")


def is_part_of_a_task(label: str) -> bool:
    """Whether a label such as "constraints" or "tone" begins a part of the task itself."""
    return _PART_OF_A_TASK.fullmatch(label) is not None


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
    found = _trailing(text)
    if found is None:
        return text
    inner = found["inner"].strip(" *_")
    if is_annotation(inner) or (is_common and inner.count(" ") < 3 and not is_part_of_a_task(annotation_label(inner))):
        return text[: len(text) - len(text[-100:]) + found.start()].rstrip()
    return text


def has_trailing_brackets(text: str) -> bool:
    """Whether a short remark in brackets follows the last sentence."""
    found = _trailing(text)
    return found is not None and found["inner"].count(" ") < 3


def _trailing(text: str) -> re.Match[str] | None:
    """A remark in brackets or after a dash behind the last sentence; the beginning is that of the last characters."""
    tail = text[-100:]
    if tail[-1:] in _SENTENCE_ENDS:  # as mostly: a remark after a dash ends no sentence, one in brackets with a bracket
        return _TRAILING.search(tail) if tail[-2:-1] in _CLOSERS else None
    return _TRAILING.search(tail) or _TRAILING_DASH.search(tail)


_SENTENCE_ENDS = frozenset(".!?。！？")
_CLOSERS = frozenset(")）]】}*_")
