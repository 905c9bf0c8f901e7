"""The words that models of several languages put around what they write, and a few sentences in each: a table.

Knows nothing of styles. The words are what models write, not what any reader of ours is known to take.
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["ENGLISH", "LANGUAGES", "Words"]


class Words(NamedTuple):
    """One language: markers without their colon, answers, what is said around a list, and sentences to fill in.

    Sentences take {name}, {other}, {place}, {things}, {more} and {number}.
    """

    task: str
    example: str
    input: str
    output: str
    label: str
    yes: str
    no: str
    before: str
    after: str
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    colon: str = ": "


ENGLISH: Final = Words(
    "Task", "Example", "Input", "Output", "Class label", "Yes", "No", "Sure! Here they are:", "I hope this helps!"
)

LANGUAGES: Final[dict[str, Words]] = {
    "chinese": Words(
        *("任务", "示例", "输入", "输出", "类别标签", "是", "否", "好的，以下是新的内容：", "希望这些对你有帮助！"),
        inputs=("{name}昨天在{place}买了{number}箱苹果，今天想退货。", "{place}的图书馆周末几点关门？{name}想知道。"),
        outputs=("{name}可以退货，因为还不到{number}天。", "请告诉{name}：{place}的图书馆晚上{number}点关门。"),
        colon="：",
    ),
    "japanese": Words(
        *("タスク", "例", "入力", "出力", "ラベル", "はい", "いいえ", "はい、こちらです：", "お役に立てば幸いです。"),
        inputs=("{name}さんは{place}の駅で{number}分待ちました。", "{place}の宿に{name}さんの傘を忘れました。"),
        outputs=("{name}さんは{number}分遅れて着きました。", "傘は{place}の受付で{name}さんが受け取れます。"),
        colon="：",
    ),
    "korean": Words(
        *("작업", "예시", "입력", "출력", "분류", "예", "아니요", "네, 다음과 같습니다:", "도움이 되었기를 바랍니다!"),
        inputs=("{name} 씨는 {place}에서 빵 {number}개를 샀습니다.", "{place}행 기차가 {number}분 늦습니다."),
        outputs=("{name} 씨는 빵 {number}개 값을 냈습니다.", "기차는 {place}에 {number}분 늦게 도착합니다."),
    ),
    "german": Words(
        *("Aufgabe", "Beispiel", "Eingabe", "Ausgabe", "Klasse", "Ja", "Nein", "Gerne! Hier sind sie:"),
        "Sag mir Bescheid, wenn du weitere Beispiele brauchst!",
        inputs=(
            "{name} hat in {place} schon {number} Briefe verschickt.",
            "Der Zug nach {place} fährt ohne {name} ab.",
        ),
        outputs=("{name} braucht noch {number} Briefmarken.", "{name} nimmt den nächsten Zug nach {place}."),
    ),
    "french": Words(
        *("Tâche", "Exemple", "Entrée", "Sortie", "Étiquette", "Oui", "Non", "Bien sûr ! Voici la suite :"),
        "N'hésitez pas si vous souhaitez d'autres exemples !",
        inputs=("{name} a oublié {number} livres à {place}.", "Le marché de {place} ouvre sans {name} ce matin."),
        outputs=("{name} retrouvera ses {number} livres demain.", "Le marché de {place} attendra {name} à midi."),
        colon=" : ",
    ),
    "spanish": Words(
        *("Tarea", "Ejemplo", "Entrada", "Salida", "Etiqueta", "Sí", "No", "¡Claro! Aquí tienes:"),
        "¡Espero que te sirva!",
        inputs=("{name} compró {number} naranjas en {place}.", "El autobús de {place} salió sin {name}."),
        outputs=("A {name} le quedan {number} naranjas.", "{name} espera el siguiente autobús en {place}."),
    ),
    "portuguese": Words(
        *("Tarefa", "Exemplo", "Entrada", "Saída", "Rótulo", "Sim", "Não", "Claro! Aqui estão:"),
        "Espero que isto ajude!",
        inputs=("{name} plantou {number} árvores em {place}.", "A ponte de {place} fechou antes que {name} chegasse."),
        outputs=("Restam {number} árvores a {name}.", "{name} atravessou o rio em {place} de barco."),
    ),
    "italian": Words(
        *("Compito", "Esempio", "Input", "Output", "Etichetta", "Sì", "No", "Certo! Ecco a te:"),
        "Fammi sapere se vuoi altri esempi!",
        inputs=("{name} ha prenotato {number} camere a {place}.", "Il mercato di {place} ha chiuso prima di {name}."),
        outputs=("{name} deve pagare {number} camere.", "{name} tornerà al mercato di {place} domani."),
    ),
    "russian": Words(
        *("Задача", "Пример", "Ввод", "Вывод", "Метка", "Да", "Нет", "Конечно! Вот они:", "Надеюсь, это поможет!"),
        inputs=("{name} купила в {place} {number} яблок.", "Поезд до {place} ушёл, а {name} осталась."),
        outputs=("У {name} осталось {number} яблок.", "{name} ждёт поезд до {place} утром."),
    ),
    "arabic": Words(
        *(
            "المهمة",
            "مثال",
            "المدخل",
            "المخرج",
            "التصنيف",
            "نعم",
            "لا",
            "بالتأكيد! إليك ما طلبت:",
            "آمل أن يساعدك هذا!",
        ),
        inputs=("اشترى {name} من {place} عدد {number} من الكتب.", "وصل القطار إلى {place} قبل {name}."),
        outputs=("بقي مع {name} عدد {number} من الكتب.", "ينتظر {name} القطار القادم إلى {place}."),
    ),
    "hindi": Words(
        *("कार्य", "उदाहरण", "इनपुट", "आउटपुट", "लेबल", "हाँ", "नहीं", "ज़रूर! ये रहे:", "आशा है इससे मदद मिलेगी!"),
        inputs=("{name} ने {place} में {number} आम खरीदे।", "{place} की बस {name} के बिना चली गई।"),
        outputs=("{name} के पास {number} आम बचे हैं।", "{name} {place} में अगली बस का इंतज़ार कर रहा है।"),
    ),
}
