"""The packaged seed tasks keep what the prompts and filters expect of them.

Counts, spread, instruction heuristics, shape of the demonstrations, and ROUGE-L
distance between the instructions and from those of another seed set.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from rouge_score import rouge_scorer

from places import REPOSITORY

REPO = REPOSITORY
SEED_TASKS = REPO / "prompts" / "seed_tasks.jsonl"
OTHER_SEED_TASKS = REPO.parent / "shared" / "data" / "seed_tasks.jsonl"

OWN_LIMIT = 0.55
OTHER_LIMIT = 0.6
MAX_BYTES = 130_000

UNSUITABLE = re.compile(
    r"\b(images?|graphs?|pictures?|files?|maps?|draw|plot|go to|video|audio|music|flowchart|diagram)\b",
    re.IGNORECASE,
)
MARKER_LINE = re.compile(r"^\s*(task:|input:|output:|example|class label:)", re.IGNORECASE | re.MULTILINE)
MARKER_ANYWHERE = re.compile(r"class label:|output:", re.IGNORECASE)

# The label set of every classification task, so that missing labels are noticed.
LABELS = {
    "app_review_sentiment": "Negative|Mixed|Positive",
    "headline_desk": "science|sport|business|politics",
    "bank_chat_intent": "block_card|check_balance|transfer_money",
    "subject_line_spam": "inbox|spam",
    "germanic_language_id": "Swedish|Dutch|German|Danish",
    "message_register": "formal|informal",
    "it_ticket_urgency": "low|medium|high",
    "premise_hypothesis": "entailment|contradiction|neutral",
    "fact_or_opinion": "fact|opinion",
    "grammar_check": "error|no error",
    "starred_part_of_speech": "noun|verb|adjective|adverb",
    "trivia_difficulty": "easy|medium|hard",
    "diary_emotion": "anger|fear|joy|sadness",
    "forum_moderation": "keep|remove",
    "shop_ticket_routing": "Shipping|Billing|Technical",
    "geography_true_false": "True|False",
    "first_line_genre": "romance|mystery|horror|science fiction",
    "snippet_language": "SQL|Python|Bash|JavaScript",
    "passage_answerability": "answerable|unanswerable",
    "active_or_passive": "active|passive",
    "sentence_time": "past|present|future",
    "sarcasm_detection": "sarcastic|sincere",
    "duplicate_questions": "duplicate|different",
    "triangle_type": "equilateral|isosceles|scalene|impossible",
    "waste_sorting": "compost|recycling|landfill",
    "minutes_line_type": "decision|action|information",
    "email_address_shape": "valid|invalid",
    "figure_of_speech": "hyperbole|simile|metaphor|personification",
    "restaurant_aspect": "food|service|price|atmosphere",
    "commit_type": "feat|fix|docs|refactor",
    "syllogism_validity": "valid|invalid",
    "vertebrate_class": "mammals|birds|reptiles|amphibians|fish",
    "physical_or_chemical": "chemical|physical",
    "intended_reader": "beginner|specialist",
    "earlier_event": "A|B",
    "kitchen_hygiene": "safe|risky",
    "contains_personal_data": "yes|no",
    "translation_faithful": "faithful|wrong",
    "stance_car_free": "against|for|undecided",
    "measured_quantity": "length|mass|time|temperature",
}

Task = dict[str, Any]


def read_tasks(path: Path) -> list[Task]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@cache
def tasks() -> list[Task]:
    return read_tasks(SEED_TASKS)


def classification() -> list[Task]:
    return [task for task in tasks() if task["is_classification"]]


def generation() -> list[Task]:
    return [task for task in tasks() if not task["is_classification"]]


def instructions() -> list[str]:
    return [task["instruction"] for task in tasks()]


def instances() -> Iterator[tuple[Task, str, str]]:
    for task in tasks():
        for instance in task["instances"]:
            yield task, instance["input"], instance["output"]


def texts() -> Iterator[str]:
    yield from instructions()
    for _, given, answer in instances():
        yield given
        yield answer


def words(text: str) -> int:
    return len(text.split())


def tokens(text: str) -> list[str]:
    """Split as rouge_score does without a stemmer."""
    return re.findall(r"[a-z0-9]+", text.lower())


def too_similar(pairs: Iterable[tuple[str, str]], limit: float) -> list[tuple[float, str, str]]:
    """Score only the pairs whose shared words could reach the limit: the LCS is never longer than the shared bag."""
    scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
    found = []
    bags: dict[str, Counter[str]] = {}
    for left, right in pairs:
        a = bags.setdefault(left, Counter(tokens(left)))
        b = bags.setdefault(right, Counter(tokens(right)))
        if 2 * (a & b).total() <= limit * (a.total() + b.total()):
            continue
        score = scorer.score(left, right)["rougeL"].fmeasure
        if score > limit:
            found.append((score, left, right))
    return found


def test_every_line_is_one_task_with_its_number_and_the_usual_keys() -> None:
    raw = SEED_TASKS.read_bytes()
    assert raw.endswith(b"\n")
    assert len(raw) < MAX_BYTES
    assert rb"\u" not in raw.replace(rb"\\u", b"")
    for number, task in enumerate(tasks()):
        assert list(task) == ["id", "name", "instruction", "instances", "is_classification"]
        assert task["id"] == f"seed_task_{number}"
        assert re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", task["name"])
        assert task["instances"]
        assert all(list(instance) == ["input", "output"] for instance in task["instances"])


def test_there_are_175_tasks_of_which_40_classify() -> None:
    assert len(tasks()) == 175
    assert len(classification()) == 40
    assert len(generation()) == 135


def test_names_and_instructions_are_unique() -> None:
    assert len({task["name"] for task in tasks()}) == 175
    assert len({" ".join(tokens(instruction)) for instruction in instructions()}) == 175


def test_about_a_third_need_no_input_and_none_of_these_classify() -> None:
    without = [task for task in tasks() if any(instance["input"] == "" for instance in task["instances"])]
    assert 55 <= len(without) <= 62
    assert all(len(task["instances"]) == 1 and not task["is_classification"] for task in without)


def test_classification_is_spread_evenly() -> None:
    places = [number for number, task in enumerate(tasks()) if task["is_classification"]]
    gaps = [after - before for before, after in zip([-1, *places], [*places, len(tasks())], strict=True)]
    assert min(gaps[1:-1]) >= 3
    assert max(gaps) <= 6


def test_no_two_instructions_are_alike() -> None:
    own = instructions()
    pairs = ((left, right) for number, left in enumerate(own) for right in own[:number])
    assert too_similar(pairs, OWN_LIMIT) == []


@pytest.mark.skipif(not OTHER_SEED_TASKS.exists(), reason="shared/data/seed_tasks.jsonl is not next to this checkout")
def test_no_instruction_is_like_one_of_the_other_seed_set() -> None:
    other = [task["instruction"] for task in read_tasks(OTHER_SEED_TASKS)]
    pairs = ((left, right) for left in instructions() for right in other)
    assert too_similar(pairs, OTHER_LIMIT) == []


def test_every_instruction_passes_the_heuristics_for_generated_ones() -> None:
    for instruction in instructions():
        assert 4 <= words(instruction) <= 150, instruction
        assert not UNSUITABLE.search(instruction), instruction
        assert not instruction.startswith("Write a program"), instruction
        assert re.match(r"[A-Za-z]", instruction), instruction


def test_most_instructions_are_of_ordinary_length() -> None:
    ordinary = [instruction for instruction in instructions() if 6 <= words(instruction) <= 25]
    assert len(ordinary) > 0.8 * len(tasks())


def test_no_text_ends_with_a_colon_or_contains_a_marker_of_the_prompts() -> None:
    for text in texts():
        assert text == text.strip(), text
        assert not text.endswith(":"), text
        assert not MARKER_LINE.search(text), text
        assert not MARKER_ANYWHERE.search(text), text


def test_outputs_are_never_empty_and_never_repeat_the_input() -> None:
    for task, given, answer in instances():
        assert answer, task["name"]
        assert answer != given, task["name"]


def test_no_task_repeats_an_input() -> None:
    for task in tasks():
        inputs = [instance["input"] for instance in task["instances"]]
        assert len(set(inputs)) == len(inputs), task["name"]


def test_enough_short_tasks_can_demonstrate_the_input_first_approach() -> None:
    several = [task for task in generation() if len(task["instances"]) > 1]
    assert len(several) >= 20
    for task in several:
        assert len(task["instances"]) in {2, 3}, task["name"]
        for instance in task["instances"]:
            assert words(instance["input"]) + words(instance["output"]) < 60, task["name"]
    bare = [task["instances"][0] for task in generation() if task["instances"][0]["input"] == ""]
    assert sum(words(instance["output"]) < 60 for instance in bare) >= 6


def test_every_label_of_a_small_label_set_is_shown() -> None:
    assert {task["name"] for task in classification()} == set(LABELS)
    for task in classification():
        expected = set(LABELS[task["name"]].split("|"))
        shown = {instance["output"] for instance in task["instances"]}
        assert shown <= expected, task["name"]
        assert shown == expected or len(expected) > 4, task["name"]


def test_classification_instances_are_few_and_short() -> None:
    for task in classification():
        assert 2 <= len(task["instances"]) <= 4, task["name"]
        for instance in task["instances"]:
            assert 0 < words(instance["input"]) < 40, task["name"]
            assert 1 <= words(instance["output"]) <= 4, task["name"]


def test_the_first_label_shown_is_not_always_the_first_of_the_set() -> None:
    first = sum(task["instances"][0]["output"] == LABELS[task["name"]].split("|")[0] for task in classification())
    assert 8 <= first <= 32
