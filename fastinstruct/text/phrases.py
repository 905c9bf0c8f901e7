"""What models say around an answer, or instead of one.

Knows nothing of how replies are read. Every pattern matches in time linear in the text: no repetition stands inside
another.
"""

import re

__all__ = ["is_preamble", "is_refusal", "is_remark", "leaks_into_instance", "leaks_into_instruction"]

_CANNOT = r"(?:can(?:no|['’])?t|can not|(?:am|['’]m) (?:unable|not able) to|won['’]t|will not be able to)"
_HELP = (
    r"(?:assist|help|comply|fulfil|provide|generate|create|engage|answer|complete|produce|write|continue|access|process|"
    r"do that|do this|respond|offer|support|give)"
)
_SORRY = r"(?:i['’]?m |i am )?(?:very |so |really |truly )?(?:sorry|afraid)[,.]?(?: but| that)?"
_REFUSALS = (
    # English
    rf"{_SORRY} (?:as an ai|i ?{_CANNOT} {_HELP})",
    rf"i ?{_CANNOT} (?:{_HELP}|in good conscience)",
    rf"(?:i apologi[sz]e|my apologies|unfortunately)[,.]? (?:but )?(?:as an ai|i ?{_CANNOT} {_HELP})",
    r"as an? (?:ai|artificial intelligence)(?: language)?(?: model| assistant| chatbot| system)?,? ?(?:i|my|it is)\b",
    # Spanish, Portuguese, Italian, French
    r"(?:lo siento|lo lamento|me disculpo)[,.]? (?:pero )?(?:no puedo|como (?:modelo|una? ia|asistente))",
    r"como (?:un )?modelo de lenguaje",
    r"(?:desculpe|sinto muito|lamento)[,.]? (?:mas )?(?:eu )?(?:não posso|como (?:um )?modelo)",
    r"como (?:um )?modelo de linguagem",
    r"mi dispiace[,.]? (?:ma )?(?:non posso|come modello)",
    r"(?:je suis )?(?:vraiment )?désolée?[,.]? (?:mais )?(?:je ne (?:peux|suis)|en tant qu)",
    r"en tant que modèle de langage",
    # German, Russian
    r"(?:es )?tut mir (?:sehr )?leid[,.]? (?:aber )?(?:ich kann|als ki|dabei kann)",
    r"als ki-?(?:sprach)?modell",
    r"(?:извините|простите|к сожалению)[,.]? (?:но )?я не могу",
    r"как (?:языковая модель|ии|искусственный интеллект)",
    # Chinese, Japanese, Korean
    r"(?:非常|很)?(?:抱歉|对不起|對不起|不好意思)[,，。]? ?(?:但)?我?(?:无法|無法|不能)",
    r"(?:作为|作為|身为)(?:一个|一個|一名)? ?(?:ai|人工智能|人工智慧)(?:语言|語言)?(?:模型|助手|助理)[,，]?我",
    r"申し訳(?:ございません|ありません)が[^。]{0,40}(?:できません|できかねます|お答え|お手伝い)",
    r"(?:私は)?ai(?:言語)?モデルとして",
    r"죄송하지만[^.]{0,40}(?:수 없|어렵)",
    r"(?:저는 )?ai 언어 모델로서",
)
_REFUSAL = re.compile(rf"[\s\"'“‘*_]*(?:{'|'.join(_REFUSALS)})", re.IGNORECASE)

_PREAMBLE = re.compile(
    r"[\s*_>#]*(?:sure|certainly|of course|absolutely|okay|ok|alright|great|happy to help|got it|no problem|"
    r"claro|por supuesto|bien sûr|certo|natürlich|gerne|конечно|好的|当然|當然|はい|もちろん)(?:[,.!:，。！：、]|$)",
    re.IGNORECASE,
)
_REMARK = re.compile(
    r"[\s*_(>]*(?:please )?(?:let me know|i hope|hope (?:this|these|that)|feel free|would you like (?:me|more|to)|"
    r"do you want me|(?:these|this|the above|all) (?:\w+ )?(?:tasks|instructions|list|examples)\b|"
    r"if you(?:['’]d like| want| need|['’]re looking)|is there anything|note:? (?:that )?these|end of (?:list|tasks)|"
    r"\[end)",
    re.IGNORECASE,
)

_TOKENS = (
    r"<\|[a-z_▁]{2,30}\|>|<(?:start|end)_of_turn>|\[/?INST\]|<</?SYS>>|</?s>|<(?:bos|eos|pad|unk)>|"
    r"### ?(?:Instruction|Response|Input)\b"
)
_PLACEHOLDERS = r"\{(?:instruction|input|output|tasks?)\}"
# After a word it's content: "Classification Task: ...".
_MARKERS = (
    r"(?<![\w,;] )\b(?:Task|Input|Output|Class [Ll]abel|Label task) ?\d{0,3} ?[:：]|"
    r"\bExample \d{1,3}(?= ?(?:[:.：]|$))"
)
_INSTRUCTION_LEAK = re.compile(
    rf"{_TOKENS}|{_PLACEHOLDERS}|{_MARKERS}"
    r"|\[(?:[Yy]our|[Ii]nsert|INSERT|YOUR)\b|<(?:[Yy]our|[Ii]nsert|input|output|instruction|task)\b[^<>\n]{0,40}>"
)
_NO_WORD = re.compile(r"[\W_]+")
# Every match of the one above and the one below holds one of these: looking for them first costs a fraction.
_SIGNS_IN_INSTRUCTION = ("<", "[", "{", "#", ":", "：", "Example ")
_SIGNS_IN_INSTANCE = ("<", "[", "{", "#", ":")
_INSTANCE_LEAK = re.compile(
    rf"{_TOKENS}|\{{instruction\}}|^ {{0,3}}(?:Class label|Label task) ?:", re.IGNORECASE | re.MULTILINE
)
# A field that is nothing but a hole: "...", "[Your answer here]", "<insert text>".
_HOLE = re.compile(
    r"\s*(?:\.{2,}|…+|[\[<({](?:your|insert|an?|the|some|input|output|text|answer|sentence|paragraph|label)\b[^\[\]<>(){}\n]{0,60}[\]>)}])\s*",
    re.IGNORECASE,
)


def is_refusal(text: str) -> bool:
    """Whether the text begins as models do that refuse, in twelve languages.

    Only the beginning counts: an apology in the middle of a letter is content.
    """
    return _REFUSAL.match(text) is not None


def is_preamble(line: str) -> bool:
    """Whether the line begins as an answer to the user does ("Sure!", "好的，")."""
    return _PREAMBLE.match(line) is not None


def is_remark(line: str) -> bool:
    """Whether the line begins as a closing remark does ("Let me know if", "These tasks")."""
    return _REMARK.match(line) is not None


def leaks_into_instruction(text: str) -> bool:
    """Whether an instruction holds a piece of a prompt (a marker, a special token, a hole to fill in) or no word."""
    if _NO_WORD.fullmatch(text):
        return True
    return any(map(text.__contains__, _SIGNS_IN_INSTRUCTION)) and _INSTRUCTION_LEAK.search(text) is not None


def leaks_into_instance(text: str) -> bool:
    """Whether an input or output holds a special token or a line of the prompt, or is only a hole to fill in.

    Milder than for instructions: a letter may well hold "[Your name]", a program "Input:".
    """
    if _HOLE.fullmatch(text):
        return True
    return any(map(text.__contains__, _SIGNS_IN_INSTANCE)) and _INSTANCE_LEAK.search(text) is not None
