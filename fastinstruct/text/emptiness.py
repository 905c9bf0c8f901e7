"""The words that people and models write for "there is no input" and "there is no output", in twelve languages.

Knows nothing of where they stand. Every function takes any text, never raises, and takes time linear in its length.
"""

import re
import unicodedata

__all__ = ["empty_if_none", "is_no_output"]

_MAX_CHARS = 160  # no such phrase is longer
_MAX_SPACES = 14  # nor has one more words

_MISSING = r"(?:required|needed|necessary|provided|given|specified|available|expected|applicable|present)"
_NO = (
    # English
    r"n\s?[/.]\s?a\.?|none|null|nil|empty|blank|left (?:blank|empty)|leave (?:blank|empty)|[-–—‐]+",
    rf"(?:none|not|nothing) {_MISSING}",
    # Chinese, Japanese, Korean
    (
        r"无|無|不要|暂无|暫無|空|不适用|不適用|不需要|无需|なし|無し|特になし|該当なし|該当無し|空欄|없음|해당 ?없음|"
        r"필요 ?없음|해당 ?사항 ?없음"
    ),
    # German, French, Spanish, Portuguese, Italian
    r"kein[es]?|k\.\s?a\.?|entfällt|leer|nicht (?:zutreffend|erforderlich|nötig|notwendig|vorhanden|anwendbar)",
    r"aucune?|néant|sans objet|s\.?\s?o\.?|non applicable|vide|pas nécessaire|non (?:requise?|nécessaire|fournie?)",
    (
        r"ningun[oa]|ninguna|no aplica(?:ble)?|n\s?/\s?d|vacío|no (?:se )?(?:requiere|necesita)|"
        r"no (?:es )?necesari[oa]|no requerid[oa]"
    ),
    r"nenhum|nenhuma|não (?:se )?(?:aplica|aplicável|requer)|não (?:é )?(?:necessári[oa]|aplicável)|vazio",
    r"nessun[oa]?|non (?:richiesto|necessario|previsto|applicabile)|vuoto",
    # Russian, Arabic, Hindi
    r"нет|не требуется|не нужен|не применимо|неприменимо|отсутствует|пусто|н\s?/\s?д",
    r"لا يوجد|لا يوجد شيء|لا شيء|غير مطلوب|غير ضروري|لا ينطبق|غير متاح|فارغ|لا حاجة",
    r"कोई नहीं|लागू नहीं|आवश्यक नहीं|आवश्यकता नहीं|रिक्त|ज़रूरत नहीं|अनुपलब्ध",
)
_KIND = r"(?:specific |additional |further |particular |external |extra |explicit |user |direct |other )?"
_TASK = (
    r"(?:the|this|that|such an?) (?:given |above |following |particular )?(?:task|instruction|prompt|request|"
    r"exercise|question|example)"
)
_NO_INPUT = (
    # English
    (
        rf"(?:there is |there's |with )?no {_KIND}inputs?(?: (?:text|data|value|field))?(?: (?:is|was|are|were|"
        rf"has been))?"
        rf"(?: {_MISSING})?(?: (?:here|for (?:this|the) (?:task|example|instruction|prompt|one)|in this case))?"
    ),
    (
        rf"{_TASK} (?:does not|doesn['’]t|did not|didn['’]t) (?:require|need|have|take|use|"
        rf"expect)(?: an?y?)? {_KIND}inputs?"
        r"(?: (?:text|data))?"
    ),
    rf"{_TASK} (?:requires|needs|takes|has) no {_KIND}inputs?",
    rf"(?:an? |the |any )?{_KIND}inputs? (?:is |are |was )?(?:not {_MISSING}|un(?:necessary|needed)|none)",
    (
        r"no[_-]input|noinput|without input|no context|no additional (?:context|information)(?: (?:is )?(?:needed|"
        r"required))?"
    ),
    # Chinese, Japanese, Korean
    (
        r"(?:该|此|这个|本|這個|該)?(?:任务|任務|指令|题目)?(?:无需|不需要|没有|沒有|无|無|無需|未提供)(?:任何|额外|"
        r"額外|具体|具體|特定)?(?:的)?(?:输入|輸入)(?:内容|文本|数据)?"
    ),
    r"(?:输入|輸入)(?:为|為)?(?:无|無|空)",
    r"(?:特定の)?入力(?:は|の)?(?:なし|無し|不要|必要なし|必要ありません|ありません|必要は?ない)(?:です)?",
    r"(?:このタスクに?は?、?)?(?:特定の)?入力(?:は|を|が)?(?:必要としません|必要ありません|不要です|必要としない)",
    (
        r"입력(?:이|은|값|값이|값은)? ?(?:없음|없습니다|필요 ?없음|필요하지 않음|필요하지 않습니다|필요 없습니다|"
        r"불필요|불필요함)"
    ),
    r"(?:이|해당) 작업(?:은|에는) 입력(?:이|을) (?:필요로 하지 않습니다|필요하지 않습니다|필요 없습니다)",
    # German, French, Spanish, Portuguese, Italian
    (
        r"(?:es ist |es wird )?keine (?:eingabe|eingaben|eingabedaten)(?: (?:ist |wird )?(?:erforderlich|nötig|"
        r"notwendig|benötigt|vorhanden))?"
    ),
    r"(?:diese|die) aufgabe (?:benötigt|erfordert|braucht) keine eingabe|ohne eingabe",
    (
        r"(?:aucune|pas d['’]|sans) ?entrée(?: (?:spécifique|particulière))?(?: (?:n['’]est )?(?:requise|nécessaire|"
        r"fournie))?"
    ),
    r"cette tâche ne nécessite (?:aucune|pas d['’]) ?entrée",
    (
        r"(?:ninguna|sin) entrada|no (?:se )?(?:requiere|necesita|hay)(?: ninguna)? entrada|"
        r"esta tarea no (?:requiere|necesita)(?: ninguna)? entrada"
    ),
    (
        r"(?:nenhuma|sem) entrada(?: (?:é )?necessária)?|não (?:requer|há|precisa de)(?: nenhuma)? entrada|"
        r"esta tarefa não (?:requer|precisa de)(?: nenhuma)? entrada"
    ),
    (
        r"(?:nessun|senza) input(?: (?:è )?(?:richiesto|necessario))?|questo compito non (?:richiede|"
        r"necessita)(?: di)?(?: alcun)? input"
    ),
    # Russian, Arabic, Hindi
    (
        r"нет (?:входных данных|ввода)|без (?:ввода|входных данных)|(?:ввод|входные данные) не (?:требуется|"
        r"требуются|нужен|нужны)"
    ),
    r"(?:эта задача|это задание|задание|задача) не требует (?:ввода|входных данных)",
    (
        r"(?:لا يوجد|بدون|لا توجد|لا حاجة إلى|لا يلزم) (?:مدخل|مدخلات|إدخال)|(?:هذه المهمة )?لا (?:تتطلب|"
        r"تحتاج إلى) (?:أي )?(?:مدخلات|إدخال|مدخل)"
    ),
    (
        r"कोई इनपुट (?:नहीं|आवश्यक नहीं)(?: है)?|इनपुट (?:की )?(?:आवश्यकता|आवश्यक|ज़रूरत) नहीं(?: है)?|"
        r"इस कार्य के लिए (?:किसी )?(?:कोई )?इनपुट (?:की आवश्यकता |की ज़रूरत |आवश्यक )?नहीं(?: है)?"
    ),
)
_ANY_NO, _ANY_NO_INPUT = "|".join(_NO), "|".join(_NO_INPUT)
_EMPTY_INPUT = re.compile(
    rf"(?:{_ANY_NO_INPUT}|(?:{_ANY_NO})(?:\s*[-–—:,;.(（，。]{{1,2}}\s*(?:{_ANY_NO_INPUT}|{_ANY_NO})\s*[)）]?)?)"
)
_EMPTY_OUTPUT = re.compile(
    r"n\s?[/.]\s?a\.?|null|nil|[-–—‐]+|tb[da]|todo|to be (?:determined|done|added|announced|filled(?: in)?)|"
    rf"no[ _-]?outputs?(?: (?:is |was )?{_MISSING})?|not (?:applicable|available|provided)|empty(?: output)?|"
    r"\((?:none|no answer|no response)\)|no (?:answer|response) (?:provided|given|available)|"
    r"无|暂无|待定|无输出|没有输出|無輸出|不适用|該当なし|特になし|なし|出力なし|해당 ?없음|출력 ?없음|없음|"
    r"entfällt|keine ausgabe|k\.\s?a\.|aucune sortie|sans objet|non applicable|sin salida|ninguna salida|no aplica|"
    r"sem saída|nenhuma saída|não se aplica|não aplicável|nessun output|non applicabile|нет вывода|вывода нет|"
    r"не применимо|"
    r"لا يوجد(?: (?:مخرج|مخرجات|إخراج|ناتج))?|لا ينطبق|कोई आउटपुट नहीं|लागू नहीं"
)
_AROUND = "\"'`*_“”‘’«»「」『』"
_EMPTY_QUOTES = {'""', "''", "``", "“”", "‘’", "«»", "「」"}
_BRACKETS = {"(": ")", "[": "]", "<": ">", "（": "）", "【": "】", "{": "}"}


def empty_if_none(text: str) -> str:
    """Return an input, or "" where it only says that there is none ("N/A", "<noinput>", "无", "not required")."""
    return "" if len(text) <= _MAX_CHARS and _says(_EMPTY_INPUT, text) else text


def is_no_output(text: str) -> bool:
    """Whether an output is nothing, or only says that there is none ("N/A", "(no output)", "TBD", "-")."""
    if len(text) > _MAX_CHARS:
        return not text.strip()
    # A plain "None" may well be the answer, of a person or of Python.
    return _says(_EMPTY_OUTPUT, text) or ("none" in text.casefold() and _is_wrapped_none(text))


def _is_wrapped_none(text: str) -> bool:
    return _bare(text) == "none" != _folded(text).rstrip(".")


def _says(pattern: re.Pattern[str], text: str) -> bool:
    if text.count(" ") > _MAX_SPACES:
        return False
    folded = _folded(text)
    return not folded or folded in _EMPTY_QUOTES or pattern.fullmatch(_bare(text)) is not None


def _folded(text: str) -> str:
    return " ".join((text if text.isascii() else unicodedata.normalize("NFKC", text)).casefold().split())


def _bare(text: str) -> str:
    """The folded text without quotes and brackets around all of it, and without the stop at its end."""
    text = _folded(text)
    for _ in range(3):  # such as `"(none)."`; more is content
        text = text.strip(_AROUND + " ").rstrip(".。．।!؟")
        if len(text) > 1 and _BRACKETS.get(text[0]) == text[-1]:
            text = text[1:-1].strip()
    return text
