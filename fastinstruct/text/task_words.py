"""How people begin a task: the verbs and question words of twelve languages, and the endings where the verb is last.

Knows nothing of lists or markers. It tells what certainly begins like a task; what it does not know may still be one.
Every function takes any text, never raises, and takes time linear in its length.
"""

import re

__all__ = ["asks", "begins_a_task", "opens_a_task"]

_ENGLISH_VERBS = (
    "act|add|advise|analy[sz]e|answer|argue|arrange|ask|assess|break|brainstorm|build|calculate|categori[sz]e|"
    "change|check|choose|"
    "classify|combine|come up|compare|complete|compose|compute|condense|consider|construct|continue|contrast|"
    "convert|correct|"
    "count|craft|create|critique|debate|debug|decide|decode|define|demonstrate|derive|describe|design|detect|"
    "determine|develop|"
    "devise|differentiate|discuss|distinguish|divide|draft|draw|edit|elaborate|estimate|evaluate|examine|expand|"
    "explain|explore|"
    "extract|fill|find|fix|flag|formulate|generate|give|group|guess|help|highlight|hypothesi[sz]e|identify|"
    "illustrate|imagine|"
    "improve|infer|interpret|introduce|invent|judge|justify|label|list|make|map|mark|match|merge|name|narrate|offer|"
    "order|"
    "organi[sz]e|outline|paraphrase|parse|perform|persuade|pick|plan|play|point out|predict|prepare|present|pretend|"
    "produce|proofread|"
    "propose|prove|provide|punctuate|quote|rank|rate|read|rearrange|recommend|reduce|refactor|remove|reorder|"
    "rephrase|replace|"
    "report|respond|restate|retell|reverse|review|revise|rewrite|role-?play|say|score|select|separate|share|shorten|"
    "show|simplify|simulate|"
    "sketch|solve|sort|speculate|spell|split|spot|state|structure|suggest|summari[sz]e|tag|take|teach|tell|test|"
    "think|trace|"
    "transcribe|transform|translate|turn|unscramble|update|use|using|verify|write|adapt|adjust|alter|annotate|"
    "append|apply|assemble|assign|"
    "bake|capitali[sz]e|characteri[sz]e|clarify|clean|code|collect|compile|compress|conduct|conjugate|connect|"
    "convince|cook|cut|deduce|"
    "delete|diagnose|discover|document|encode|enter|enumerate|express|extend|figure|filter|finish|follow|form|"
    "format|gather|get|go|grade|"
    "greet|implement|include|incorporate|indicate|insert|investigate|join|link|learn|look|mention|mix|modify|"
    "multiply|optimi[sz]e|output|"
    "place|pose|post|print|process|put|re-?arrange|re-?word|re-?write|re-?order|re-?organi[sz]e|re-?phrase|recall|"
    "recite|recogni[sz]e|"
    "reconstruct|record|reflect|reformat|reformulate|reframe|remind|render|research|resolve|restructure|retrieve|"
    "return|search|send|"
    "specify|substitute|sum|supply|synthesi[sz]e|train|troubleshoot|try|type|word|"
    "author|chart|choreograph|concoct|conceive|counter|defend|deliver|depict|dissect|dramati[sz]e|envision|forecast|"
    "hypothesi[sz]e|improvise|jot|lay out|memori[sz]e|model|negotiate|note|paint|pen|personify|phrase|picture|pinpoint|"
    "pitch|portray|practi[cs]e|profile|quantify|recap|recount|relate|rehearse|satiri[sz]e|spin|spotlight|storyboard|"
    "survey|tabulate|tailor|tally|unpack|visuali[sz]e|voice|walk|weave|weigh"
)
_ENGLISH_REST = (
    "what|what's|who|who's|whose|whom|where|when|why|how|which|is|are|was|were|do|does|did|can|could|should|would|"
    "will|if|given|"
    "based|after|before|from|for|in|with|without|as|you|your|imagine|suppose|assume|let's|please|here|there|at|on|to|"
    "briefly|step|think|the following|following|we|i['’]m|i am|i have|i need|i want|this is"
)
_OTHERS = (
    # German, French, Spanish, Portuguese, Italian
    "schreiben?|erklären?|nennen?|beschreiben?|übersetzen?|fassen?|erstellen?|verfassen?|entwerfen?|entwirf|listen?|"
    "vergleichen?|gib|"
    "geben|formulieren?|schlagen?|berechnen?|ordnen?|analysieren?|finden?|erfinden?|wandeln?|wähle|bestimmen?|"
    "korrigieren?|planen?|"
    "skizzieren?|stellen?|diskutieren?|erzählen?|entwickeln?|was|wer|wie|warum|welche[rsmn]?|wo|wann|"
    "écri(?:s|vez|re)|expliqu(?:e|ez|er)|décri(?:s|vez|re)|tradui(?:s|sez|re)|list(?:e|ez|er)|nomm(?:e|ez|er)|"
    "résum(?:e|ez|er)|"
    "propos(?:e|ez|er)|donn(?:e|ez|er)|compar(?:e|ez|er)|rédig(?:e|ez|er)|trouv(?:e|ez|er)|cré(?:e|ez|er)|"
    "imagin(?:e|ez|er)|"
    "compos(?:e|ez|er)|calcul(?:e|ez|er)|class(?:e|ez|er)|identifi(?:e|ez|er)|quel(?:le)?s?|pourquoi|comment|"
    "qu'est-ce|que|qui|où|quand|"
    "escrib[ea]|explica|explique|describ[ea]|traduce|traduzca|enumera|enumere|nombra|resume|resuma|proponga|propón|"
    "da|dé|compara|"
    "compare|redacta|redacte|encuentra|crea|cree|imagina|compón|compon|calcula|clasifica|identifica|sugiere|inventa|"
    "haz|elabora|"
    "qué|¿qué|cuál|¿cuál|cómo|¿cómo|por|¿por|quién|¿quién|cuándo|¿cuándo|dónde|¿dónde|"
    "escrev[ae]|expliqu?[ae]|descrev[ae]|traduz[ai]?|liste|nomeie|cite|resum[ae]|proponha|dê|redija|encontre|crie|"
    "imagine|componha|"
    "calcule|classifique|identifique|sugira|invente|faça|elabore|qual|quais|como|quem|quando|onde|porquê|"
    "scrivi|scrivere|spiega|spiegare|descrivi|traduci|elenca|nomina|riassumi|proponi|dai|confronta|redigi|trova|"
    "immagina|"
    "componi|classifica|suggerisci|fai|quale|quali|perché|chi|quando|dove|cosa|"
    # Russian, Arabic, Hindi
    r"\w{2,20}(?:йте|ите|ьте)|напиши|объясни|опиши|переведи|назови|перечисли|составь|придумай|предложи|сравни|дай|"
    r"найди|создай|"
    "расскажи|сочини|почему|как|какой|какие|какая|какое|кто|где|когда|что|"
    "اكتب|اكتبي|اشرح|صف|ترجم|اذكر|لخص|لخّص|اقترح|قارن|أعط|اعط|ضع|أنشئ|صنف|صنّف|حدد|حدّد|احسب|ما|من|كيف|لماذا|متى|أين|"
    "هل|قم|"
    "लिखिए|लिखें|बताइए|बताएं|समझाइए|समझाएं|क्या|कौन|कैसे|क्यों|कब|कहाँ"
)
_OPENING = re.compile(
    rf"(?:please |bitte |por favor,? )?(?:{_ENGLISH_VERBS}|{_ENGLISH_REST}|{_OTHERS})(?![\w'’-])", re.IGNORECASE
)
_ASKING = re.compile(
    rf"(?:please |bitte |por favor,? )?(?:{_ENGLISH_VERBS}|what|who|which|how|why|when|where|{_OTHERS})(?![\w'’-])",
    re.IGNORECASE,
)
_HAN_OPENING = re.compile(
    "请|請|写|寫|编|編|列|解释|解釋|描述|描写|翻译|翻譯|把|将|將|给|給|为|為|用|根据|根據|对|對|设计|設計|创作|創作|"
    "提供|提出|"
    "告诉|你需要|你将|您将|使用|基于|想出|添加|检测|检查|解决|解下|创建|返回|阅读|读|提取|预测|补充|完善|转述|按|"
    "向我|完成|整理|"
    "总结|總結|概括|比较|比較|分析|说明|說明|介绍|介紹|讨论|推荐|推薦|建议|找|计算|計算|判断|判斷|分类|选择|改写|"
    "生成|制定|"
    "什么|什麼|如何|为什么|怎|哪|谁|以|从|在|假设|想象|想像|回答|阐述|讲|举|举例|撰写|起草|归纳|识别|修改|续写|构思|"
    "向|利用|运用|模拟|扮演|评价|评估|估计|确定|排列|排序|区分|證明|证明|说出|谈谈|描绘|简述|简要|策划|规划|拟|"
    "草拟|润色|"
    "重写|缩写|扩写|标注|标出|匹配|填写|组成|造句|仿写|辨别|挑选|拆解|合并|转换|替换|绘制|画|做一|作一|求|针对|"
    "围绕|结合"
)
_ENDING = re.compile(
    r"(?:[?？؟;]|ください|下さい|なさい|しましょう|せよ|ますか|ですか|せ|え|け|"
    r"세요|십시오|시오|하라|해줘|해라|까|나요|쓰기|하기|기|"
    r"करें|लिखें|बताएं|बताएँ|दें|कीजिए|लिखिए|बताइए|समझाइए|दीजिए|कीजिये|बनाएं|समझाएं|सुझाएं|करो|लिखो|सुझाएँ|बनाएँ|"
    r"करिए|हैं|है|इए|इये|िए|िये|ाएँ|ाएं)\s*[.。!！?？।]?\Z"
)
_QUOTES = re.compile(r"[\"'“‘«「『*_¿¡(\s]*")


def begins_a_task(text: str) -> bool:
    """Whether the text certainly reads as a task or a question, by its first words or, in some languages, its last."""
    return opens_a_task(text) or _ENDING.search(text[-16:]) is not None


def opens_a_task(text: str) -> bool:
    """Whether the text's first words alone are those of a task or a question."""
    start = _QUOTES.match(text)
    position = start.end() if start else 0
    return _OPENING.match(text, position) is not None or _HAN_OPENING.match(text, position) is not None


def asks(text: str) -> bool:
    """Whether the text's first word is a verb or a question's, and no other that tasks and introductions begin with."""
    start = _QUOTES.match(text)
    position = start.end() if start else 0
    return _ASKING.match(text, position) is not None or _HAN_OPENING.match(text, position) is not None
