"""What models say instead of an answer, in twelve languages: that they can't, won't, or were given nothing.

Knows nothing of how replies are read. Only the beginning of a text counts: an apology in the middle of a letter is
content. Every pattern matches in time linear in the text: no repetition stands inside another.
"""

import re

__all__ = ["is_models_refusal", "is_refusal"]

_CANNOT = (
    r"(?:can(?:no|['’])?t|can not|(?:am|['’]m) (?:unable|not able) to|won['’]t(?: be able to)?|will not be able to)"
)
_HELP = (
    r"(?:assist|help(?! (?:\w+ing|but)\b)|comply|fulfil|come up with|think of|continue the|satisfy|accommodate|"
    r"provide|generate|create|engage|answer|complete|produce|write|continue|access|"
    r"process|"
    r"do that|do this|respond|offer|support|give|perform|browse|translate this|summari[sz]e this)"
)
_SORRY = r"(?:i['’]?m |i am )?(?:very |so |really |truly )?(?:sorry|afraid)[,.]?(?: but| that)?"
_PARDON = rf"(?:{_SORRY}|(?:i apologi[sz]e|my apologies|unfortunately|regrettably)[,.]?(?: but)?)"
_MEDIUM = (
    r"(?:images?|pictures?|photos?|photographs?|videos?|audio|files?|links?|urls?|web ?sites?|web ?pages?|"
    r"(?:the )?web|"
    r"(?:the )?internet|attachments?|documents?)"
)
_GIVEN = (
    r"(?:text|sentence|input|passage|article|paragraph|prompt|code|document|email|image|picture|file|link|"
    r"context|data|"
    r"list|review|story|poem|conversation|content|details|information|question|word|topic|problem|url)s?"
)
_MODELS_REFUSALS = (
    # What was said to it is a request, and nobody but a model speaks so of that.
    (
        r"je ne (?:suis pas en mesure|peux pas|peux malheureusement pas) (?:de )?(?:répondre|accéder|satisfaire|"
        r"traiter|fournir|vous aider|t['’]aider|aider)"
    ),
    (
        r"(?:lo siento[,.]? )?no puedo (?:cumplir|ayudarte|ayudarle|ayudar con|atender|responder a|satisfacer|"
        r"proporcionar|completar (?:esta|esa|tu|su))"
    ),
    r"não (?:posso|consigo) (?:ajudar com|ajudá|atender|cumprir|responder a|fornecer|satisfazer)",
    r"non posso (?:aiutarti|aiutarla|soddisfare|rispondere a|fornire|esaudire|completare questa)",
    (
        r"ich kann (?:dir |ihnen )?(?:diese[rn]? (?:anfrage|bitte|aufgabe|wunsch)|dabei|dazu|damit|ihnen dabei|"
        r"dir dabei) (?:leider )?(?:nicht|keine)"
    ),
    rf"(?:{_PARDON} )?i (?:must|have to|will have to|need to|am going to) (?:respectfully |politely )?decline\b",
    rf"(?:{_PARDON} )?i (?:don['’]t|do not) feel comfortable\b",
    rf"{_SORRY} [^.\n]{{1,60}}[,.] (?:but )?i(?:['’]m| am) (?:unable|not able) to {_HELP}",
    r"as an? (?:ai|artificial intelligence|language model)\b[^.\n]{0,60}, i (?:do not|don['’]t|can(?:no|['’])t|am)",
    rf"(?:{_PARDON} )?i (?:have|['’]ve) no (?:more |further |other |new )?(?:ideas|tasks|suggestions|instructions)\b",
    rf"(?:{_PARDON} )?i(?:['’]m| am) (?:not able|unable) to (?:do (?:that|this)|{_HELP})",
    rf"{_PARDON} i ?{_CANNOT} do (?:that|this)",
    rf"{_SORRY} (?:as an ai|i ?{_CANNOT} {_HELP})",
    rf"i ?{_CANNOT} (?:{_HELP}|in good conscience)",
    rf"{_PARDON} (?:as an? (?:ai|large language|language)|i ?{_CANNOT} {_HELP})",
    (
        rf"(?:{_PARDON} )?i ?{_CANNOT} (?:directly |actually |currently )?(?:view|see|open|watch|listen to|hear|"
        rf"read|display|show|"
        rf"process|analy[sz]e|access|browse)(?: (?:the|any|your|an?|this|that|these|external|actual|attached|"
        rf"uploaded))? {_MEDIUM}\b"
    ),
    (
        rf"(?:{_PARDON} )?i (?:don['’]t|do not) (?:currently )?have (?:direct |any |the |real-time )?(?:access to|"
        rf"(?:the )?ability to|"
        r"(?:the )?capability to|real-time|personal (?:opinions?|experiences?|feelings?|preferences?|beliefs?)|"
        r"enough (?:information|context))"
    ),
    (
        r"as an? (?:ai|artificial intelligence|large language|language)(?: language)?(?: model| assistant| chatbot|"
        r" system)?,? ?"
        r"(?:i|my|it is)\b"
    ),
    (
        r"i(?:['’]m| am) (?:just |only |merely )?an? (?:ai|artificial intelligence|(?:large )?language model)"
        r"(?:(?: language)? (?:model|assistant|chatbot|program)\b|,|\.| and (?:do|don|can|am))"
    ),
)
_MODELS_REFUSALS_OF_OTHER_SCRIPTS = (
    (
        r"我(?:无法|無法|不能|不可以)(?:满足|滿足|完成|回答|协助|协助您|提供|执行|帮助|帮你|帮您|处理|回应|生成|"
        r"创建)[^。\n]{0,30}(?:请求|請求|要求|问题|問題|任务|任務|内容|内容。|这个|这样|帮助)"
    ),
    r"я не могу (?:помочь (?:с|вам|тебе)|выполнить|ответить на|предоставить|удовлетворить)",
    r"[^。\n]{0,30}(?:ご要望|リクエスト|ご依頼|ご質問)には?[^。\n]{0,12}(?:できません|できかねます|いたしかねます)",
    r"(?:죄송합니다[.,]? )?[^.\n]{0,30}(?:요청|부탁)(?:은|을|를|에)[^.\n]{0,20}수(?:가|는)? ?없습니다",
    r"لا (?:أستطيع|يمكنني) (?:المساعدة|مساعدتك|تلبية|الإجابة|تقديم|تنفيذ)",
    r"मैं [^।\n]{0,40}(?:सहायता|मदद|अनुरोध)[^।\n]{0,20}(?:नहीं कर सकता|नहीं कर सकती|असमर्थ)",
)
_REFUSALS = (
    *_MODELS_REFUSALS,
    # It was given nothing.
    (
        rf"{_PARDON} (?:no|there (?:is|was) no|you (?:did not|didn['’]t|haven['’]t|have not)|the (?:input|"
        rf"{_GIVEN}) (?:is|was)|"
        r"it (?:seems|looks|appears)|i (?:don['’]t|do not) (?:see|have))\b"
    ),
    (
        rf"no (?:specific )?{_GIVEN} (?:was|were|is|has been|have been) (?:provided|given|supplied|included|"
        rf"attached|specified)"
    ),
    (
        rf"(?:it (?:seems|looks like|appears)(?: that)?|there (?:is|was|are)|you (?:have not|haven['’]t|did not|"
        rf"didn['’]t)) "
        rf"(?:(?:provide|include|attach)d? |no |to be no |you (?:have not|haven['’]t|did not|didn['’]t|forgot to) "
        rf"(?:provided?|included?|attach(?:ed)?|shared?) )(?:an?y? |the |specific )?(?:input|{_GIVEN})\b"
    ),
    (
        rf"it (?:seems|looks like|appears)(?: that)? the {_GIVEN} (?:is|are|was|were) (?:missing|empty|"
        rf"not (?:provided|included|attached))"
    ),
    (
        rf"(?:please |could you (?:please )?|can you (?:please )?)(?:provide|share|paste|enter|upload|attach|supply|"
        rf"send|give)"
        rf"(?: me)?(?: with)? (?:the |an? |your |some |more |any )?(?:specific |actual |full |complete |"
        rf"original )?(?:\w+ )?{_GIVEN}"
        r"(?:\s*[.!?]?\s*\Z| (?:that )?(?:you(?:['’]d| would)? (?:want|like|need|wish)|so (?:that )?i\b|for me\b|"
        r"(?:and |, )?i(?:['’]ll| will| can)\b|(?:that )?(?:needs? )?to be \w+|to (?:summari|translat|analy|classif|"
        r"rewrit|edit|"
        r"proofread|paraphras|correct|review)))"
    ),
    (
        rf"(?:sure|certainly|of course)[,.!]? (?:please |could you (?:please )?)(?:provide|share|paste|send)"
        rf"(?: me)?(?: with)? (?:the |your )?(?:\w+ )?{_GIVEN}\s*[.!?]?\s*\Z"
    ),
    rf"i (?:would )?need (?:the|more|some|additional) (?:{_GIVEN}|information|context|details)\b[^\n]{{0,60}}\Z",
    rf"the (?:input|{_GIVEN}) (?:is|was) (?:missing|empty|not (?:provided|given|included))",
    # Spanish, Portuguese, Italian, French
    (
        r"(?:lo siento|lo lamento|me disculpo|lamentablemente)[,.]? (?:pero )?(?:no puedo|no tengo acceso|"
        r"como (?:modelo|una? ia|asistente))"
    ),
    r"como (?:un )?modelo de lenguaje",
    r"no tengo acceso a (?:internet|información en tiempo real|datos en tiempo real)",
    (
        r"por favor,? (?:proporciona|proporcione|comparte|comparta|incluye) (?:el|la|un|una|tu|su) (?:texto|oración|"
        r"frase|artículo|entrada|imagen)"
    ),
    r"no se (?:ha )?proporcion(?:ó|ado) ningun?a? (?:entrada|texto)",
    (
        r"(?:desculpe|sinto muito|lamento|infelizmente)[,.]? (?:mas )?(?:eu )?(?:não posso|não consigo|"
        r"não tenho acesso|como (?:um )?modelo)"
    ),
    r"como (?:um )?modelo de linguagem",
    r"não tenho acesso (?:à internet|a dados em tempo real|a informações em tempo real)",
    r"por favor,? (?:forneça|compartilhe|envie|insira) (?:o|a|um|uma|seu|sua) (?:texto|frase|artigo|entrada|imagem)",
    r"(?:mi dispiace|purtroppo)[,.]? (?:ma )?(?:non posso|non ho accesso|come modello)",
    (
        r"come modello (?:di )?linguistico|come modello di linguaggio|non ho accesso (?:a internet|"
        r"a dati in tempo reale)"
    ),
    (
        r"(?:per favore,? |per piacere,? )?(?:fornisci|fornisca|inserisci|condividi)(?:mi)? (?:il|la|un|una|l['’]) ?"
        r"(?:testo|frase|articolo|input|immagine)(?: (?:che|da)|\s*[.!]?\s*\Z)"
    ),
    (
        r"(?:je suis )?(?:vraiment )?(?:désolée?|malheureusement)[,.]? (?:mais )?(?:je ne (?:peux|suis)|"
        r"je n['’]ai pas accès|en tant qu)"
    ),
    (
        r"en tant que modèle de langage|en tant qu['’](?:ia|intelligence artificielle)\b|"
        r"je n['’]ai pas accès (?:à internet|aux données en temps réel)"
    ),
    (
        r"(?:(?:veuillez|merci de) (?:fournir|me fournir|partager|insérer)|"
        r"s['’]il (?:vous|te) pla[iî]t,? (?:fournissez|fournis|partagez|partage|insérez))(?:-moi)? "
        r"(?:le|la|l['’]|un|une|votre|ton|ta) ?(?:texte|phrase|article|entrée|image)"
    ),
    # German
    (
        r"(?:(?:es )?tut mir (?:sehr )?leid|leider|entschuldigung)[,.]? (?:aber )?(?:ich kann (?:keine|dir|ihnen|"
        r"das|diese|dabei|nicht (?:helfen|auf))|"
        r"kann ich (?:keine|dir|ihnen|das nicht|diese|dabei|nicht (?:helfen|auf))|als ki|dabei kann)"
    ),
    r"(?:es )?tut mir (?:sehr )?leid[,.]? (?:aber )?ich kann",
    r"als (?:ki-?(?:sprach)?modell|sprachmodell|ki\b)|ich habe keinen zugriff auf (?:echtzeit|das internet|aktuelle)",
    (
        r"bitte (?:gib|geben sie|füge|fügen sie|sende|senden sie|teile|teilen sie|stelle?|stellen sie)(?: mir)? "
        r"(?:den|das|die|einen|eine|deinen|ihren) "
        r"(?:text|satz|artikel|eingabe|bild)\w*\b"
    ),
)
_REFUSALS_OF_OTHER_SCRIPTS = (
    *_MODELS_REFUSALS_OF_OTHER_SCRIPTS,
    # Russian
    r"(?:извините|простите|к сожалению)[,.]? (?:но )?(?:я не могу|у меня нет доступа|я — языковая модель)",
    (
        r"(?:я )?(?:как )?(?:языковая модель|большая языковая модель)|как (?:ии|искусственный интеллект)\b|"
        r"у меня нет доступа к (?:интернету|данным)"
    ),
    r"(?:пожалуйста, )?(?:предоставьте|пришлите|укажите|введите) (?:мне )?(?:текст|предложение|статью|данные)\b",
    # Chinese, Japanese, Korean
    (
        r"(?:非常|很)?(?:抱歉|对不起|對不起|不好意思|很遗憾|遗憾的是)[,，。]? ?(?:但|不过)?(?:是)?我?(?:无法|無法|"
        r"不能|没有|沒有)"
    ),
    (
        r"(?:(?:非常|很)?(?:抱歉|对不起)[,，。]? ?(?:但|不过)?)?(?:作为|作為|身为)(?:一个|一個|一名|一款)? ?(?:大型)?"
        r"(?:ai|人工智能|人工智慧|语言|語言)(?:语言|語言)?(?:模型|助手|助理)[,，]?我"
    ),
    (
        r"我(?:是|只是)(?:一个|一個|一名|一款) ?(?:大型)?(?:ai|人工智能|人工智慧|语言|語言)(?:语言|語言)?(?:模型|"
        r"助手|助理)|我(?:无法|無法|不能)(?:访问|查看|浏览|打开|提供实时)"
    ),
    (
        r"(?:您|你)?(?:没有|沒有|未)提供(?:任何)?[^。\n]{0,8}(?:文本|句子|文章|内容|输入|图片|信息)|"
        r"请(?:您)?(?:提供|输入|给出|粘贴)(?:您|你)?(?:要|想要|需要|想)?[^。\n]{0,12}(?:文本|句子|文章|内容|输入|"
        r"图片|信息)"
    ),
    r"申し訳(?:ございません|ありません)が[^。]{0,40}(?:できません|できかねます|お答え|お手伝い|[はがも]ありません)",
    (
        r"(?:私は)?(?:ai|大規模)?言語モデルとして|(?:私は)?aiモデルとして|[^。\n]{0,20}(?:文章|テキスト|文|"
        r"入力)を(?:提供|入力|教え)[^。]{0,6}ください"
    ),
    r"죄송하지만[^.]{0,40}(?:수 없|어렵)|죄송합니다[.,]? [^.]{0,40}(?:수 없|어렵)",
    (
        r"(?:저는 )?(?:ai )?언어 모델(?:로서|이므로|이라)|[^.\n]{0,20}(?:텍스트|문장|글|입력)[을를] (?:제공|"
        r"입력)[^.]{0,6}(?:주세요|주십시오)"
    ),
    # Arabic, Hindi
    (
        r"(?:آسف|عذرا|عذراً|عذرًا|أعتذر|للأسف|معذرة)[،,.]? ?(?:ولكن |لكن |ولكنني |لكنني )?(?:لا (?:أستطيع|يمكنني)|"
        r"ليس لدي|لم يتم)"
    ),
    (
        r"(?:(?:بصفتي|كوني|أنا) (?:مجرد )?نموذج(?:ا|ًا|اً)? (?:لغ|ذكاء)|كنموذج (?:لغ|ذكاء))|يرجى (?:تقديم|توفير|"
        r"إدخال) (?:النص|الجملة|المقال)"
    ),
    (
        r"(?:क्षमा करें|माफ़ कीजिए|माफ करें|मुझे खेद है|मुझे माफ़ करें)[,।]? (?:लेकिन |कि )?मैं [^।\n]{0,60}(?:नहीं|"
        r"असमर्थ)"
    ),
    (
        r"(?:एक )?(?:एआई )?भाषा मॉडल (?:के रूप में|होने के नाते)|कृपया (?:वह |अपना )?(?:पाठ|वाक्य|टेक्स्ट|"
        r"इनपुट) (?:प्रदान|दर्ज)"
    ),
)


def _beginning(*refusals: str) -> re.Pattern[str]:
    return re.compile(rf"[\s\"'“‘*_]*+(?:{'|'.join(refusals)})")


# For lower case, and apart for text that is plain English: most texts are, and the more is tried, the longer it takes.
_REFUSAL, _MODELS_REFUSAL = _beginning(*_REFUSALS), _beginning(*_MODELS_REFUSALS)
_ANY_REFUSAL = _beginning(*_REFUSALS, *_REFUSALS_OF_OTHER_SCRIPTS)
_ANY_MODELS_REFUSAL = _beginning(*_MODELS_REFUSALS, *_MODELS_REFUSALS_OF_OTHER_SCRIPTS)


def is_refusal(text: str) -> bool:
    """Whether the text begins as models do that refuse, in twelve languages.

    Only the beginning counts: an apology in the middle of a letter is content.
    """
    lower = text.lower()
    return (_REFUSAL.match(lower) if text.isascii() else _ANY_REFUSAL.match(lower)) is not None


def is_models_refusal(text: str) -> bool:
    """Whether the text begins as nobody but a model speaks; "Please send the text." may be a person's, and an input."""
    lower = text.lower()
    return (_MODELS_REFUSAL.match(lower) if text.isascii() else _ANY_MODELS_REFUSAL.match(lower)) is not None
