"""What chat models say before and after what they were asked for, in twelve languages.

Knows nothing of markers. Every function looks at one paragraph or line, never raises, and takes time linear in its
length: what it may say is matched at its beginning, and what it must mention is looked for once.

A remark is certain where it begins as such remarks do and speaks of the answer itself, of examples, or of further help
("Let me know if you need more examples!"). "Let me know if you can come." begins so, too, and is a letter's.
"""

import re

__all__ = [
    "annotates",
    "ends_a_reply",
    "is_announcement",
    "is_closing_remark",
    "is_introduction",
    "is_letter",
    "is_opener",
    "is_sure_line",
    "may_be_closing_remark",
    "thinks_aloud",
]

_MAX_CHARS = 600  # a longer paragraph is content
_START = r"[\s*_(\[（【>#~]*+"
_WORD_COUNT = (
    r"(?:(?:total |approximate )?(?:word|character|sentence|line|syllable) count|(?:total )?words|wortzahl|wörter|"
    r"nombre de mots|número de palabras|contagem de palavras|numero di parole|количество слов|字数|文字数|"
    r"글자 수|عدد الكلمات|"
    r"शब्द संख्या)\s*+(?:[:：=]\s*+)?(?:about |approximately |~|ca\. ?)?\d{1,5}(?: words| characters)?|(?:about |"
    r"approximately )?\d{1,5} words"
)
_NOTE = re.compile(
    r"[\s*_]*+[(\[（【][\s*_]*(?:please )?(?:note|n\.?b\.?|disclaimer|hinweis|anmerkung|remarque|nota|observação|"
    r"примечание|注意?|備考|참고|ملاحظة|नोट)(?:\s?[:：]| that\b)[^\n]*[)\]）】][\s*_.。]*",
    re.IGNORECASE,
)
_COUNT = re.compile(rf"{_START}(?:{_WORD_COUNT})[\s*_)\]）】.。]*", re.IGNORECASE)
_OPENINGS = (
    (
        r"(?:please )?(?:let me know|feel free|don['’]t hesitate|do not hesitate|i['’]?(?:m| am) happy to|"
        r"i can (?:also )?(?:provide|write|give|help)|"
        r"i hope|hope (?:this|these|that)|would you like|do you want|is there anything|shall i|should i|want me to|"
        r"if you(?:['’]d like|['’]d prefer| would like| want| need|['’]re looking| have any)|happy to help|"
        r"(?:these|this|the (?:above|following)|all|both|each)(?: of (?:these|"
        r"the above))? (?:\w+ ){0,2}?(?:examples?|inputs?|outputs?|pairs?|instances?|"
        r"answers?|responses?|versions?|labels?|sentences|texts)\b|"
        r"(?:please )?note(?: that|:|：)|n\.?b\.?[:：]|disclaimer[:：]|"
        r"end of (?:example|output|list|task|response)s?\b|"
        r"that['’]s (?:it|all)|i(?:['’]ve| have) (?:provided|written|included|created|kept|tried|made|used))"
    ),
    (
        r"(?:如果(?:您|你)?(?:还|還)?(?:需要|想|有)|希望(?:这|這|以上|对|對|能)|请(?:随时|告诉我|注意)|有(?:任何|"
        r"其他)|以上(?:是|就是|示例|例子)|(?:这|"
        r"這)些(?:示例|例子)|注意?[:：]|(?:需要我|还需要))"
    ),
    (
        r"(?:お役に立て|ご参考|他に(?:も)?(?:ご|何か)|必要(?:であれば|でしたら)|何か(?:ご|あれば)|お気軽に|"
        r"これらの(?:例|出力)|以上(?:です|が)|注[:：]|もっと(?:例|必要))"
    ),
    (
        r"(?:도움이 되|더 (?:필요|많은)|추가(?:로|적인)|필요하(?:시|면)|궁금한|언제든지|이 예시|위 예시|참고[:：]|"
        r"다른 (?:예시|질문))"
    ),
    (
        r"(?:lass(?:en sie)? (?:es )?mich wissen|sag(?:en sie)? (?:mir )?(?:einfach )?bescheid|ich hoffe|"
        r"hoffentlich|möchtest du|möchten sie|"
        r"wenn (?:du|sie) (?:noch )?(?:weitere|mehr|möchte|brauch)|falls (?:du|sie) (?:noch )?(?:weitere|mehr)|"
        r"diese beispiele|"
        r"bei (?:weiteren )?fragen|hinweis[:：]|anmerkung[:：]|gerne? (?:kann|helfe) ich)"
    ),
    (
        r"(?:n['’]hésite[zs]? pas|j['’]espère|dites-moi|dis-moi|faites-moi savoir|fais-moi savoir|souhaitez-vous|"
        r"veux-tu|voulez-vous|"
        r"si vous (?:avez|souhaitez|voulez)|si tu (?:as|veux)|ces exemples|remarque ?[:：]|note ?[:：])"
    ),
    (
        r"(?:¡?espero que|no dudes en|no dude en|avísame|avíseme|házmelo saber|hágamelo saber|¿(?:te|le) gustaría|"
        r"¿quieres|¿necesitas|"
        r"si (?:necesitas|necesita|quieres|quiere|deseas|desea)|estos ejemplos|nota ?[:：]|déjame saber)"
    ),
    (
        r"(?:espero que|não hesite em|me avise|avise-me|me diga|fique à vontade|gostaria|você quer|quer que|"
        r"se (?:precisar|quiser|você)|"
        r"estes exemplos|esses exemplos|nota ?[:：]|observação ?[:：])"
    ),
    (
        r"(?:spero che|non esitare|fammi sapere|mi faccia sapere|fatemi sapere|vuoi che|vuole che|vorresti|"
        r"se (?:hai bisogno|vuoi|desideri|ti serv)|"
        r"questi esempi|nota ?[:：])"
    ),
    (
        r"(?:надеюсь|дайте (?:мне )?знать|дай (?:мне )?знать|сообщите|если (?:вам|вы|тебе|ты|нужн|хотите)|хотите|"
        r"эти примеры|примечание ?[:：]|"
        r"обращайтесь|не стесняйтесь)"
    ),
    r"(?:آمل|أتمنى|أرجو|لا تتردد|أخبرني|إذا (?:كنت|أردت|احتجت)|هل (?:تريد|ترغب|تود)|هذه الأمثلة|ملاحظة ?[:：])",
    r"(?:आशा है|उम्मीद है|मुझे बताएं|मुझे बताएँ|यदि आप|अगर आप|क्या आप|ये उदाहरण|नोट ?[:：]|बेझिझक)",
)
_OPENING = re.compile(rf"{_START}(?:{'|'.join(_OPENINGS)})", re.IGNORECASE)
_ABOUT_THE_ANSWER = re.compile(
    r"\b(?:more|another|additional|further|other|different|any) (?:examples?|answers?|help|assistance|changes?|"
    r"versions?|variations?|tasks?|details|"
    r"adjustments?|questions?|information|instances|inputs?|outputs?|cases)\b|"
    r"\b(?:examples?|outputs?|inputs?|instructions?|this task|the task|versions?|variations?|the answer|"
    r"possible (?:answer|output|response|solution)s?|"
    r"my (?:answer|response)|the response|the translation|the prompt|anything else|(?:this|these|it|"
    r"that) helps?|was helpful|is helpful|be helpful|"
    r"(?:need|want|like) (?:more|another|anything)|(?:shorter|longer|simpler|different|more \w+) (?:ones?|poem|"
    r"story|text|summary)|(?:like|enjoy(?:ed)?) "
    r"(?:it|this|these|the \w+)|"
    r"clarif\w+|adjust\w*|modif\w+|tweak\w*|revis\w+|rewrite|placeholders?|fictional|word (?:count|limit)|"
    r"help you with|assist you|me to)\b|"
    r"示例|例子|例を|例が|更多|版本|请告诉我|お知らせ|알려 ?주세요|أخبرني|المزيد|帮助|幫助|帮到|其他问题|修改|"
    r"調整|调整|答案|参考|输出|お役に立|ご質問|他に|ご参考|出力|"
    r"예시|도움|질문|추가|수정|참고|"
    r"(?i:beispiel|hilf|helfen|weiterhelf|fragen|anpass|änder|bescheid, wenn|ausgabe|exempl|exemple|aide|aider|"
    r"question|modifi|réponse|"
    r"ejemplo|ayud|útil|sirva|pregunta|modific|respuesta|ajud|pergunta|resposta|esempi|aiut|utile|domand|rispost|"
    r"пример|помо|полез|вопрос|измен|ответ|أمثلة|مثال|يساعد|مساعد|مفيد|سؤال|أسئلة|الإجابة|उदाहरण|मदद|सहाय|"
    r"प्रश्न|सवाल|उत्तर)",
    re.IGNORECASE,
)
_SURE = (
    r"sure(?: thing)?|certainly|of course|absolutely|okay|ok|alright|great|happy to help|got it|no problem|"
    r"understood|"
    r"当然可以|好|没有?问题|沒問題|もちろんです|もちろんいいですよ|分かりました|わかりました|了解しました|"
    r"좋습니다|그럼요|네,? 알겠습니다|"
    r"claro(?: que sí)?|por supuesto|con gusto|com certeza|bien sûr|d['’]accord|volontiers|certo|certamente|"
    r"natürlich|gerne?|klar|sicher|"
    r"конечно|хорошо|好的|当然|當然|没问题|はい|もちろん|承知しました|かしこまりました|네|물론(?:입니다|이죠)?|"
    r"알겠습니다|"
    r"بالتأكيد|بالطبع|حسنا|حسنًا|ज़रूर|जरूर|बिल्कुल|ठीक है"
)
_SURE_LINE = re.compile(rf"[\s*_>#¡]*+(?:{_SURE})(?:\s?[,.!:，。！：、،।–—]|$)", re.IGNORECASE)
_HERE = (
    r"here(?:['’]s| is| are)\b|below (?:is|are)\b|the following\b|these are\b|this is (?:an?|one|"
    r"the) (?:example|output|answer|response)\b|"
    r"(?:let me|i(?:['’]ll| will)) (?:show|give|provide|write|create)\b|examples?(?: for| of)?\b|"
    r"the (?:examples?|output|answer|task)\b|"
    r"hier (?:ist|sind|kommen?)|voici|voilà|aquí (?:tienes?|está|hay|te|le|van)|aqui (?:está|estão|vai|vão|tem)|"
    r"ecco|вот|ниже|"
    r"以下|下面|这是|這是|这里|こちら|以下|次の|다음|아래|여기|إليك|فيما يلي|هذه|हाँ|ये रहे|यहाँ|यहां|निम्न"
)
_HERE_LINE = re.compile(rf"[\s*_>#¡]*+(?:{_HERE})", re.IGNORECASE)


def is_letter(text: str, instruction: str) -> bool:
    """Whether a text speaks to somebody, or was asked to: it may end as letters do, which models do, too."""
    return _SALUTATION.match(text) is not None or _ASKS_FOR_A_LETTER.search(instruction) is not None


_SALUTATION = re.compile(
    r"[\s*_>]*+(?:subject|betreff|objet|asunto|assunto|oggetto|тема|主题|件名|제목)[*_]{0,2} ?[:：]|"
    r"[\s*_>]*+(?:dear|hi|hello|hey|"
    r"good (?:morning|afternoon|evening)|to whom|liebe[rs]?|sehr geehrte[rs]?|hallo|guten tag|bonjour|chère?|madame|"
    r"monsieur|hola|estimad[oa]s?|querid[oa]s?|prezad[oa]s?|olá|car[oaie]|gentil[ei]|egregi[oa]|ciao|buongiorno|"
    r"уважаем\w{1,4}|дорог\w{1,4}|здравствуйте|привет|尊敬的|亲爱的|您好|你好|拝啓|お世話に|こんにちは|안녕하세요|"
    r"عزيزي|السادة|مرحبا|السلام|प्रिय|आदरणीय|नमस्ते)(?![^\W\d_])",
    re.IGNORECASE,
)
_ASKS_FOR_A_LETTER = re.compile(
    r"\b(?:e-?mails?|letters?|messages?|repl(?:y|ies)|memos?|invitations?|newsletters?|customers?|clients?|chatbot|"
    r"announcements?|notes? to|respond to|thank-you|cover letter)\b|\b(?:e-?mail|brief|nachricht|antwortschreiben)\b|"
    r"courriel|lettre|message|correo|carta|mensaje|mensagem|lettera|messaggio|письм|сообщени|邮件|郵件|信件|写信|回复|"
    r"メール|手紙|返信|이메일|편지|답장|메시지|رسالة|بريد|ईमेल|पत्र|संदेश",
    re.IGNORECASE,
)
_ABOUT_EXAMPLES = re.compile(
    r"\b(?:examples?|outputs?|inputs?|instances|instructions?|tasks?|variations?|versions?)\b|示例|例子|例を|例が|예시|"
    r"(?i:beispiel|exempl|exemple|ejemplo|esempi|пример)|أمثلة|مثال|उदाहरण",
    re.IGNORECASE,
)


def is_closing_remark(paragraph: str) -> bool:
    """Whether a paragraph is certainly what a chat model says after its answer."""
    if len(paragraph) > _MAX_CHARS:
        return False
    if _COUNT.fullmatch(paragraph) or _NOTE.fullmatch(paragraph) or _SHORT.fullmatch(paragraph):
        return True
    return _OPENING.match(paragraph) is not None and _ABOUT_THE_ANSWER.search(paragraph) is not None


def ends_a_reply(paragraph: str, text: str, instruction: str) -> bool:
    """Whether the end of an answer is a closing remark; in a letter only what speaks of examples and tasks is."""
    if not is_closing_remark(paragraph):
        return False
    return not is_letter(text, instruction) or _ABOUT_EXAMPLES.search(paragraph) is not None


# Whole paragraphs that nobody writes into an answer's content.
_SHORT = re.compile(
    r"[\s*_]*+(?:that['’]s (?:it|all)(?: for now)?|would you like (?:more|another(?: one)?)|"
    r"happy to (?:help|provide|write|give)(?: with)? more|want more|need more|i(?:['’]ll| will) stop here|"
    r"total (?:number of )?(?:examples|outputs|instances|pairs) ?[:：=]? ?\d{1,3}|espero ter ajudado|"
    r"[\[<(=-]{1,6} ?/?(?:end|fin|done|stop|eof|ende)(?: of [a-z ]{1,30})? ?[\]>)=-]{1,6}|"
    r"i(?:['’]ve| have) kept (?:it|the \w+) [^\n]{1,60}|hope that helps|"
    r"(?:hinweis|anmerkung)[:：] ?es gibt [^\n]{1,80}|möchten sie mehr|möchtest du mehr|"
    r"他に例が必要でした(?:ら|場合は)[^\n]{0,40}|还需要更多吗|더 필요하신가요)[\s*_.!?。！？]*",
    re.IGNORECASE,
)


def may_be_closing_remark(paragraph: str) -> bool:
    """Whether a paragraph addresses the reader as a closing remark does, but as a letter does, too."""
    if len(paragraph) > _MAX_CHARS:
        return False
    return _ADDRESS.match(paragraph) is not None or _OTHER_EXAMPLE.search(paragraph) is not None


_OTHER_EXAMPLE = re.compile(
    r"\b(?:first|second|third|fourth|fifth|next|another|last|final|\d+(?:st|nd|rd|th)|above|following|these|two|"
    r"three) (?:\w+ )?examples?\b|"
    r"(?:第.{1,3}(?:个|個)|另一个|另一個|下一个|下一個|以上|这个|这些|這個|這些)(?:示例|例子|範例)|(?:次の|別の|"
    r"以上の|つ目の|番目の)例|"
    r"(?:다른|다음|번째|위의?) (?:예시|예제|예)(?![가-힣])|(?:nächstes?|zweites?|weiteres?|drittes?|"
    r"anderes?) beispiel|"
    r"(?:autre|deuxième|second|troisième|prochain) exemple|(?:otro|segundo|siguiente|tercer) ejemplo|(?:outro|"
    r"segundo|próximo|terceiro) exemplo|"
    r"(?:altro|secondo|prossimo|terzo) esempio|(?:другой|второй|следующий|третий) пример|المثال (?:الثاني|"
    r"التالي|الثالث)|(?:दूसरा|अगला|तीसरा) उदाहरण",
    re.IGNORECASE,
)
_ADDRESS = re.compile(
    rf"{_START}(?:(?:please )?(?:let me know|feel free to (?:ask|reach|let me|contact|modify|adjust)|"
    rf"i hope (?:this|that|these)|hope (?:this|these)|"
    r"would you like me|do you want me|is there anything (?:else|more)|the above (?:shows?|illustrates?|"
    r"demonstrates?|is|are)\b)|sag(?:en sie)? mir bescheid|n['’]hésitez pas|no dude[s]? en|"
    r"fammi sapere|não hesite|дайте знать)",
    re.IGNORECASE,
)


def annotates(text: str, instruction: str) -> bool:
    """Whether a later line of an output comments it ("Explanation: ..."), where the task asks for no reasons."""
    return _ANNOTATION.search(text) is not None and _ASKS_WHY.search(instruction) is None


_ANNOTATION = re.compile(
    r"\n[ ]{0,3}[*_(\[]{0,3}(?:explanation|rationale|reasoning|justification|why this works|difficulty|reason|"
    r"erklärung|begründung|explication|"
    r"explicación|explicação|spiegazione|объяснение|пояснение|解释|解釋|说明|解説|説明|설명|الشرح|التفسير|شرح|"
    r"व्याख्या|स्पष्टीकरण)"
    r"[*_]{0,3} ?[:：]",
    re.IGNORECASE,
)


def thinks_aloud(text: str, instruction: str) -> bool:
    """Whether the last paragraph of an input, or its last line, is what a model thinks before it answers."""
    last = text.rstrip()[-_MAX_CHARS:].rpartition("\n")
    return bool(last[1]) and _THINKING.match(last[2]) is not None and _ASKS_WHY.search(instruction) is None


_THINKING = re.compile(
    r"[ ]{0,3}[*_(\[-]{0,3} ?(?:reasoning|reason|thoughts?(?: process)?|thinking|chain of thought|analysis|explanation|"
    r"rationale|justification|denken|überlegung|gedanke|begründung|erklärung|raisonnement|réflexion|razonamiento|"
    r"raciocínio|ragionamento|рассуждение|размышление|思考|推理|分析|解释|考え方|思考過程|생각|추론|تفكير|"
    r"التفكير|विचार|तर्क)"
    r"[*_]{0,3} ?[:：]",
    re.IGNORECASE,
)
_ASKS_WHY = re.compile(
    r"expla[ni]|reason|\bwhy\b|justif|rationale|difficulty|describe how|erklär|begründ|warum|expli[cq]|porqu|"
    r"por qu|pourquoi|spiega|perch|"
    r"объясн|почему|поясн|解释|解釋|说明|为什么|解説|説明|なぜ|理由|설명|이유|왜|اشرح|فسر|لماذا|व्याख्या|समझा|क्यों",
    re.IGNORECASE,
)


def is_sure_line(line: str) -> bool:
    """Whether a line answers the user and announces what follows ("Sure! Here is a poem:")."""
    if len(line) > _MAX_CHARS:
        return False
    sure = _SURE_LINE.match(line)
    if sure is None:
        return False
    rest = line[sure.end() :]
    return line.rstrip().endswith((":", "：")) or _HERE_LINE.match(rest.lstrip(" !,.，。！、")) is not None


def is_announcement(line: str) -> bool:
    """Whether a line only hands over what follows it ("Here is a summary:")."""
    return len(line) < _MAX_ANNOUNCEMENT and _ANNOUNCEMENT.fullmatch(line) is not None


_MAX_ANNOUNCEMENT = 120
_ANNOUNCEMENT = re.compile(
    r"[\s*_>#¡]*+(?:here(?:['’]s| is| are)\b|below (?:is|are)\b|hier (?:ist|sind)|voici|aquí (?:tienes?|está|van?)|"
    r"aqui (?:está|estão|vai|vão)|ecco|вот|以下是|下面是|这是|這是|以下は|以下が|こちらが|次は|다음은|아래는|"
    r"여기|إليك|فيما يلي|"
    r"यहाँ|यहां|ये रहे)[^\n.!?。！？]*[:：][\s*_]*",
    re.IGNORECASE,
)


def is_opener(line: str) -> bool:
    """Whether a line is nothing but the beginning of an answer to the user ("Sure!")."""
    return len(line) < _MAX_OPENER and _OPENER.fullmatch(line) is not None


_MAX_OPENER = 40
_OPENER = re.compile(rf"[\s*_]*+(?:{_SURE})[\s,.!:，。！：、،।*_]*", re.IGNORECASE)


def is_introduction(paragraph: str) -> bool:
    """Whether a paragraph before the first marker only says that something follows."""
    paragraph = paragraph.strip()
    if len(paragraph) > _MAX_CHARS or paragraph.count("\n") > 1:
        return False
    return _SURE_LINE.match(paragraph) is not None or _HERE_LINE.match(paragraph) is not None
