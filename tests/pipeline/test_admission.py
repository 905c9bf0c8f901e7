"""The admission authority: what becomes of each answer, one after another, and what of a bug."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastinstruct.config import FilterConfig, InstancesConfig, RunConfig
from fastinstruct.lm import BadRequest, Deadline, Ok, Outcome, Request, Transient
from fastinstruct.lm.scheduling.scheduler import Delivery, FailedAttempt, Job
from fastinstruct.pipeline.commit.admission import Admission
from fastinstruct.pipeline.recipes import Recipe
from fastinstruct.pipeline.stages.base import Read, Task
from fastinstruct.pipeline.stages.bound import Stages
from fastinstruct.pipeline.stages.classify import Classify
from fastinstruct.pipeline.stages.generate_instances import GenerateInstances
from fastinstruct.pipeline.stages.generate_instructions import GenerateInstructions
from fastinstruct.records import Api, Candidate, Completion, FinishReason, Sampling, Usage
from fastinstruct.similarity import RougeIndex
from fastinstruct.store import AnnotationRow, AttemptRow, CandidateRow, Commit, InstanceRow, InstructionRow
from fastinstruct.testing import rouge_l, unicode_2_tokens
from fastinstruct.text.prompting import PromptSet, parse_template
from run_stages import PLACEHOLDERS, packaged_prompts, stages_of

SEEDS = (
    "Write a short letter to a landlord about noisy neighbours.",
    "Explain how tides work to a child of seven years.",
    "Is the mood of this message happy or sad?",
)
NEW = (
    "List five cheap breakfasts for students who hate mornings.",
    "Turn these meeting notes into a polite reminder.",
    "Which of these two headlines sounds more neutral?",
)
COMPLETIONS = stages_of(RunConfig(), Api.COMPLETIONS)
CHAT = stages_of(RunConfig(), Api.CHAT)
PAPER = RunConfig(profile="paper", filters=FilterConfig())


def new_admission(stages: Stages = COMPLETIONS, *, against: RougeIndex | None = None) -> Admission:
    index = RougeIndex()
    index.add(SEEDS)
    return Admission(stages, index, num_seeds=len(SEEDS), against=against, now=lambda: 12.5)


def completion(
    text: str, finish_reason: FinishReason = FinishReason.STOP, top_logprobs: Mapping[str, float] | None = None
) -> Ok:
    usage = Usage(prompt_tokens=11, completion_tokens=7)
    return Ok(Completion(text=text, finish_reason=finish_reason, usage=usage, model="m", top_logprobs=top_logprobs))


def delivery(task: Task, outcome: Outcome, failed: Sequence[FailedAttempt] = ()) -> Delivery[Task]:
    request = Request(key=f"{task.stage}:{task.number}", prompt="", sampling=Sampling())
    return Delivery(job=Job(request=request, about=task), outcome=outcome, failed=tuple(failed), latency_s=0.25)


def stage_1(number: int = 0, shown: Sequence[str] = SEEDS) -> Task:
    positions = tuple(range(len(shown)))
    return Task(stage="instructions", number=number, template="instructions", in_context=positions, shown=tuple(shown))


def stage_2(instruction_id: int = 0) -> Task:
    return Task(stage="classification", number=instruction_id, template="classification", instruction=NEW[0])


def stage_3(instruction_id: int = 0, answer: bool | None = False) -> Task:
    template = "output_first" if answer else "input_first"
    return Task(
        stage="instances",
        number=instruction_id,
        template=template,
        instruction=NEW[0],
        known={"is_classification": answer},
    )


def noted(instruction_id: int, value: bool | None, confidence: float | None = None) -> tuple[AnnotationRow, ...]:
    """The one annotation of stage 2."""
    row = AnnotationRow(instruction_id=instruction_id, name="is_classification", value=value, confidence=confidence)
    return (row,)


def listed(texts: Sequence[str], first: int = len(SEEDS) + 1) -> str:
    """Lay items out as a base model continues a list whose last number the prompt has already written."""
    return " " + "\n".join(f"{number}. {text}" for number, text in enumerate(texts, first)).removeprefix(f"{first}. ")


def settle(admission: Admission, task: Task, outcome: Outcome) -> Commit:
    [commit] = admission.settle([delivery(task, outcome)])
    return commit


def verdicts(commit: Commit) -> list[tuple[str, str | None, int | None]]:
    return [(row.text, row.reason, row.nearest) for row in commit.candidates]


# ------------------------------------------------------------------------------------------------- stage 1: candidates


def test_new_instructions_are_admitted_in_the_order_of_the_reply() -> None:
    commit = settle(new_admission(), stage_1(), completion(listed(NEW)))
    assert commit.candidates == tuple(CandidateRow(id=n, text=text, reason=None) for n, text in enumerate(NEW, 1))
    assert commit.instructions == tuple(
        InstructionRow(id=n, candidate_id=n + 1, text=text) for n, text in enumerate(NEW)
    )


def test_of_twins_in_one_batch_the_second_is_rejected_and_names_the_first() -> None:
    admission = new_admission()
    first, second = admission.settle(
        [delivery(stage_1(0), completion(listed(NEW[:2]))), delivery(stage_1(1), completion(listed([NEW[2], NEW[1]])))]
    )
    assert verdicts(first) == [(NEW[0], None, None), (NEW[1], None, None)]
    assert verdicts(second) == [(NEW[2], None, None), (NEW[1], "near_duplicate", 4)]  # three seeds, then 0 and 1
    assert second.candidates[1].score == 1.0
    assert [row.id for row in second.instructions] == [2]


def test_of_twins_in_one_reply_the_second_is_rejected_and_names_the_first() -> None:
    commit = settle(new_admission(), stage_1(), completion(listed([NEW[0], NEW[1], NEW[0]])))
    assert verdicts(commit)[2] == (NEW[0], "near_duplicate", 3)


def test_a_near_duplicate_of_a_seed_names_its_position_and_score() -> None:
    """Nine of ten words in common, in order, of ten on each side: F = 0.9."""
    text = "Explain how tides work to a child of eight years."
    commit = settle(new_admission(), stage_1(shown=SEEDS[:1]), completion(listed([text], first=2)))
    [row] = commit.candidates
    assert (row.reason, row.nearest) == ("near_duplicate", 1)
    assert row.score == pytest.approx(0.9)
    assert commit.instructions == ()


def test_what_the_heuristics_reject_is_never_compared() -> None:
    """A rejected candidate is not in the pool either: the same text counts as new afterwards, were it acceptable."""
    admission = new_admission()
    texts = ["Draw it.", NEW[0], "Draw a picture of the harbour at night.", NEW[1]]
    commit = settle(admission, stage_1(), completion(listed(texts)))
    assert verdicts(commit) == [
        ("Draw it.", "too_short", None),
        (NEW[0], None, None),
        ("Draw a picture of the harbour at night.", "keyword", None),
        (NEW[1], None, None),
    ]
    assert [(row.id, row.candidate_id) for row in commit.instructions] == [(0, 2), (1, 4)]


def evaluation(*texts: str, threshold: float = 0.7) -> RougeIndex:
    index = RougeIndex(threshold)
    index.add(texts)
    return index


def test_what_is_near_an_evaluation_text_is_contaminated_and_names_its_position() -> None:
    against = evaluation("Name a river.", "Turn these meeting notes into a polite but firm reminder.")
    commit = settle(new_admission(against=against), stage_1(), completion(listed(NEW)))
    assert verdicts(commit) == [(NEW[0], None, None), (NEW[1], "contaminated", 1), (NEW[2], None, None)]
    assert commit.candidates[1].score == pytest.approx(16 / 18)  # eight words of eight and ten
    assert [(row.id, row.candidate_id, row.text) for row in commit.instructions] == [(0, 1, NEW[0]), (1, 3, NEW[2])]


def test_contamination_is_asked_for_before_the_pool_and_after_the_heuristics() -> None:
    """A text that all three would reject has the first's reason; one that is near both pools, the second's."""
    admission = new_admission(against=evaluation("Draw it.", SEEDS[1], "no twin of this one is here"))
    texts = ["Draw it.", SEEDS[1].upper(), NEW[0], NEW[0]]
    commit = settle(admission, stage_1(shown=SEEDS[:1]), completion(listed(texts, first=2)))
    assert [(row.reason, row.nearest) for row in commit.candidates] == [
        ("too_short", None),
        ("contaminated", 1),
        (None, None),
        ("near_duplicate", 3),
    ]


def test_a_contaminated_text_does_not_join_the_pool_nor_do_evaluation_texts_shift_it() -> None:
    against = evaluation(NEW[0])
    admission = new_admission(against=against)
    first, second = admission.settle(
        [delivery(stage_1(0), completion(listed([NEW[0], NEW[0]]))), delivery(stage_1(1), completion(listed(NEW)))]
    )
    assert verdicts(first) == [(NEW[0], "contaminated", 0)] * 2
    assert [row.id for row in second.instructions] == [0, 1]
    assert len(against) == 1


words = st.lists(st.sampled_from(["ant", "bee", "cat", "dog", "eel"]), min_size=4, max_size=9).map(" ".join)


@given(st.lists(st.lists(words, max_size=5), max_size=6), st.lists(words, max_size=6), st.sampled_from([0.4, 0.7, 1.0]))
def test_verdicts_are_those_of_one_plain_comparison_after_another(
    replies: list[list[str]], avoided: list[str], threshold: float
) -> None:
    index = RougeIndex(threshold)
    index.add(SEEDS)
    against = evaluation(*avoided, threshold=threshold)
    admission = Admission(PLAIN, index, num_seeds=len(SEEDS), against=against)
    commits = admission.settle([delivery(stage_1(n), completion("\n".join(texts))) for n, texts in enumerate(replies)])
    pool = list(SEEDS)
    expected: list[tuple[str, str | None, int | None]] = []
    for text in itertools.chain(*replies):
        if (nearest := nearest_of(text, avoided, threshold)) is not None:
            expected.append((text, "contaminated", nearest))
        elif (nearest := nearest_of(text, pool, threshold)) is not None:
            expected.append((text, "near_duplicate", nearest))
        else:
            expected.append((text, None, None))
            pool.append(text)
    assert [verdict for commit in commits for verdict in verdicts(commit)] == expected
    admitted = [row for commit in commits for row in commit.instructions]
    assert [(row.id, row.text) for row in admitted] == list(enumerate(pool[len(SEEDS) :]))


def nearest_of(text: str, others: Sequence[str], threshold: float) -> int | None:
    scores = [rouge_l(unicode_2_tokens(text), unicode_2_tokens(other)) for other in others]
    best = max(scores, default=0.0)
    return scores.index(best) if best > threshold else None


def test_ids_go_on_where_an_earlier_sitting_ended() -> None:
    index = RougeIndex()
    index.add([*SEEDS, "An instruction of the first sitting."])
    admission = Admission(COMPLETIONS, index, num_seeds=3, next_request_id=41, next_candidate_id=91)
    commits = admission.settle(
        [delivery(stage_1(7), completion(listed(NEW[:2]))), delivery(stage_1(8), completion(listed(NEW[2:])))]
    )
    assert [commit.request.id for commit in commits] == [41, 42]
    assert [row.id for commit in commits for row in commit.candidates] == [91, 92, 93]
    assert [(row.id, row.candidate_id) for commit in commits for row in commit.instructions] == [
        (1, 91),
        (2, 92),
        (3, 93),
    ]


def test_an_empty_reply_is_an_answer_that_gives_nothing() -> None:
    commit = settle(new_admission(), stage_1(), completion(""))
    assert (commit.request.outcome, commit.candidates, commit.instructions) == ("unreadable", (), ())
    assert commit.request.detail == "an empty reply"


# ------------------------------------------------------------------------------------------------------ what is stored


def test_a_request_is_stored_with_its_answer_and_its_attempts() -> None:
    failed = [FailedAttempt(attempt=1, outcome="transient", detail="server: " + "x" * 500, latency_s=1.0625)]
    answer = completion("Yes", top_logprobs={"Yes": -0.1})
    [commit] = new_admission().settle([delivery(stage_2(5), answer, failed)])
    row = commit.request
    assert (row.id, row.stage, row.number, row.template, row.in_context) == (
        1,
        "classification",
        5,
        "classification",
        None,
    )
    assert (row.outcome, row.detail, row.text, row.finish_reason, row.model) == ("ok", None, "Yes", "stop", "m")
    assert (row.prompt_tokens, row.completion_tokens, row.latency_ms, row.finished_at) == (11, 7, 250, 12.5)
    assert row.top_logprobs == {"Yes": -0.1}
    detail = "server: " + "x" * 292
    assert row.attempts == (AttemptRow(attempt=1, outcome="transient", detail=detail, latency_ms=1062),)


@pytest.mark.parametrize(
    ("outcome", "name", "detail"),
    [
        (Deadline(), "deadline", "deadline"),
        (Transient("server", "HTTP 500"), "transient", "server: HTTP 500"),
        (BadRequest("content_filter", None, "no" * 300), "bad_request", "no" * 150),
    ],
)
def test_a_request_without_an_answer_is_stored_with_its_reason(outcome: Outcome, name: str, detail: str) -> None:
    commit = settle(new_admission(), stage_1(3), outcome)
    assert (commit.request.outcome, commit.request.detail, commit.request.text) == (name, detail, None)
    assert commit.request.in_context == (0, 1, 2)
    assert (commit.candidates, commit.instructions, commit.annotations) == ((), (), ())


def test_half_of_a_surrogate_pair_in_a_servers_message_can_be_stored() -> None:
    """The store refuses such a text, and one server's odd message would end the run."""
    failed = [FailedAttempt(attempt=1, outcome="transient", detail="server: \ud83d", latency_s=1)]
    [commit] = new_admission().settle([delivery(stage_1(), BadRequest("other", None, "no \ud83d 🦜"), failed)])
    assert commit.request.detail == "no ? 🦜"
    assert commit.request.attempts[0].detail == "server: ?"


@pytest.mark.parametrize(
    ("outcome", "is_settled"),
    [(BadRequest("content_filter", None, "no"), True), (Deadline(), False), (Transient("server", "x"), False)],
)
def test_only_a_refusal_settles_stage_2_without_an_answer(outcome: Outcome, *, is_settled: bool) -> None:
    """What failed otherwise may be answered in a later sitting."""
    commit = settle(new_admission(), stage_2(4), outcome)
    assert commit.annotations == (noted(4, None) if is_settled else ())


class StumblingInstructions(GenerateInstructions):
    """Stumbles over one word."""

    def parse(self, completion: Completion, task: Task) -> Read:
        if "stumble" in completion.text:
            raise KeyError(completion.text)
        return super().parse(completion, task)


class StumblingClassify(Classify):
    def parse(self, completion: Completion, task: Task) -> Read:
        raise KeyError(completion.text)


class StumblingInstances(GenerateInstances):
    def parse(self, completion: Completion, task: Task) -> Read:
        raise KeyError(completion.text)


class PlainInstructions(GenerateInstructions):
    """Takes every line for a candidate, and filters nothing."""

    def parse(self, completion: Completion, task: Task) -> Read:
        return Read(candidates=[Candidate(text=line) for line in completion.text.splitlines()])


BUGGY = stages_of(recipe=Recipe("buggy", (StumblingInstructions, StumblingClassify, StumblingInstances)))
PLAIN = stages_of(recipe=Recipe("plain", (PlainInstructions, Classify, GenerateInstances)))


def test_a_bug_in_a_parser_keeps_the_answer_and_its_siblings() -> None:
    admission = new_admission(BUGGY)
    deliveries = [
        delivery(stage_1(0), completion(listed(NEW[:1]))),
        delivery(stage_1(1), completion("stumble")),
        delivery(stage_2(0), completion("Yes")),
        delivery(stage_3(0), completion("Output: x")),
        delivery(stage_1(2), completion(listed(NEW[1:]))),
    ]
    commits = admission.settle(deliveries)
    assert [commit.request.outcome for commit in commits] == [
        "ok",
        "parser_failed",
        "parser_failed",
        "parser_failed",
        "ok",
    ]
    assert [(commit.request.text, commit.request.detail) for commit in commits[1:4]] == [
        ("stumble", "KeyError"),
        ("Yes", "KeyError"),
        ("Output: x", "KeyError"),
    ]
    assert commits[2].annotations == noted(0, None)
    assert [row.id for commit in commits for row in commit.instructions] == [0, 1, 2]


def test_a_bug_after_admission_is_not_taken_for_a_parsers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts that are in the index and not in the store would give all later ones wrong ids: that ends the run."""

    def broken(_: Admission, *__: object) -> Iterator[CandidateRow]:
        raise MemoryError

    monkeypatch.setattr(Admission, "_candidate", broken)
    with pytest.raises(MemoryError):
        settle(new_admission(), stage_1(), completion(listed(NEW)))


# ------------------------------------------------------------------------------------------------------------- stage 2


@pytest.mark.parametrize(
    ("text", "answer"),
    [(" Yes", True), ("No", False), ("**Yes**", True), ("no.", False), ("Perhaps", None), ("", None)],
)
def test_without_a_threshold_the_text_decides(text: str, answer: bool | None) -> None:
    commit = settle(new_admission(), stage_2(3), completion(text, top_logprobs={"Yes": -0.1, "No": -3.0}))
    assert commit.annotations == noted(3, answer)


@pytest.mark.parametrize(
    ("yes", "no", "margin", "answer"), [(-1.0, -2.0, 1.0, False), (-0.5, -3.0, 2.5, True), (-1.0, -2.5, 1.5, False)]
)
def test_with_a_threshold_the_odds_decide_and_not_the_text(
    yes: float, no: float, margin: float, *, answer: bool
) -> None:
    admission = new_admission(stages_of(threshold=1.5))
    commit = settle(admission, stage_2(), completion("Yes", top_logprobs={" Yes": yes, " No": no}))
    assert commit.annotations == noted(0, answer, margin)


@pytest.mark.parametrize("top_logprobs", [None, {}, {"Maybe": -0.1}])
def test_where_neither_answer_is_among_the_alternatives_the_text_decides(
    top_logprobs: Mapping[str, float] | None,
) -> None:
    commit = settle(new_admission(stages_of(threshold=1.5)), stage_2(), completion("Yes", top_logprobs=top_logprobs))
    assert commit.annotations == noted(0, value=True)


# ------------------------------------------------------------------------------------------------------------- stage 3


def test_kept_instances_are_numbered_and_rejected_ones_have_their_reason() -> None:
    text = (
        "Example 1\nInput: oats\nOutput: Porridge.\n"
        "Example 2\nInput: eggs\nOutput:\n"
        "Example 3\nInput: bread\nOutput: Toast.\n"
        "Example 4\nInput: tea\nOutput: tea\n"
    )
    commit = settle(new_admission(), stage_3(8), completion(text))
    assert commit.instances == (
        InstanceRow(instruction_id=8, item=0, input="oats", output="Porridge."),
        InstanceRow(instruction_id=8, item=1, input="bread", output="Toast."),
        *(row for row in commit.instances if row.item == -1),
    )
    assert [(row.input, row.reason) for row in commit.instances[2:]] == [
        ("eggs", "empty_output"),
        ("tea", "input_equals_output"),
    ]


def test_output_first_replies_are_read_as_labels_with_inputs() -> None:
    text = "Class label: neutral\nA headline.\nClass label: loaded\nA SHOCKING headline!\n"
    commit = settle(new_admission(), stage_3(1, answer=True), completion(text))
    assert [(row.item, row.input, row.output) for row in commit.instances] == [
        (0, "A headline.", "neutral"),
        (1, "A SHOCKING headline!", "loaded"),
    ]


def test_an_unknown_kind_is_read_input_first() -> None:
    commit = settle(new_admission(), stage_3(1, answer=None), completion("Output: Porridge."))
    assert [(row.item, row.input, row.output) for row in commit.instances] == [(0, "", "Porridge.")]


def test_no_more_instances_are_kept_than_configured() -> None:
    stages = stages_of(RunConfig(instances=InstancesConfig(max_instances=2)), Api.COMPLETIONS)
    text = "".join(f"Example {n}\nInput: i{n}\nOutput: o{n}\n" for n in range(1, 6))
    commit = settle(new_admission(stages), stage_3(), completion(text))
    assert [(row.item, row.output, row.reason) for row in commit.instances] == [
        (0, "o1", None),
        (1, "o2", None),
        (-1, "o3", "surplus"),
        (-1, "o4", "surplus"),
        (-1, "o5", "surplus"),
    ]


# ------------------------------------------------------------------------------------------------------------ profiles


def test_a_chat_reply_is_read_without_its_preamble() -> None:
    text = "Sure! Here are three tasks:\n\n" + "\n".join(f"{n}. {text}" for n, text in enumerate(NEW, 4))
    commit = settle(new_admission(CHAT), stage_1(), completion(text))
    assert verdicts(commit) == [(text, None, None) for text in NEW]


@pytest.mark.parametrize("text", ["", "I'd rather not.", "Sure!"])
def test_a_chat_reply_without_items_admits_nothing_and_is_counted(text: str) -> None:
    for stages in (CHAT, stages_of(PAPER, Api.CHAT)):
        commit = settle(new_admission(stages), stage_1(), completion(text))
        assert commit.instructions == ()
        assert commit.request.outcome == ("ok" if commit.candidates else "unreadable")
        assert bool(commit.request.detail) is not bool(commit.candidates)


def test_the_default_profile_drops_only_the_torn_item_of_a_reply_that_broke_off() -> None:
    for stages in (COMPLETIONS, CHAT):
        text = listed(NEW) if stages is COMPLETIONS else f"4. {listed(NEW).strip()}"
        commit = settle(new_admission(stages), stage_1(), completion(text, FinishReason.LENGTH))
        assert [row.text for row in commit.instructions] == list(NEW[:2])


@pytest.mark.parametrize("api", list(Api))
def test_the_paper_profile_reads_items_its_way_on_both_routes(api: Api) -> None:
    """All after the first letter becomes lower case; nothing is added to what the model wrote."""
    texts = ["Describe NASA for Grandmother Ann.", "Go to the market and buy fish.", "Two words"]
    text = listed(texts) if api is Api.COMPLETIONS else f"Sure:\n\n4. {listed(texts).strip()}"
    commit = settle(new_admission(stages_of(PAPER, api)), stage_1(), completion(text))
    assert verdicts(commit) == [
        ("Describe nasa for grandmother ann.", None, None),
        ("Go to the market and buy fish.", "keyword", None),
        ("Two words", "too_short", None),
    ]


@pytest.mark.parametrize("api", list(Api))
def test_the_paper_profile_throws_a_reply_that_broke_off_away(api: Api) -> None:
    text = listed(NEW) if api is Api.COMPLETIONS else f"4. {listed(NEW).strip()}"
    commit = settle(new_admission(stages_of(PAPER, api)), stage_1(), completion(text, FinishReason.LENGTH))
    assert {row.reason for row in commit.candidates} == {"truncated"}
    assert commit.instructions == ()


@pytest.mark.parametrize(("text", "answer"), [(" Yes", True), ("yes", True), ("Yes.", False), ("Perhaps", False)])
def test_the_paper_profile_takes_all_but_a_bare_yes_for_a_no(text: str, *, answer: bool) -> None:
    for api in Api:
        commit = settle(new_admission(stages_of(PAPER, api)), stage_2(), completion(text))
        assert commit.annotations == noted(0, answer)


def test_the_paper_profile_draws_surplus_instances_the_same_way_again() -> None:
    text = "".join(f"Example {n}\nInput: i{n}\nOutput: o{n}\n" for n in range(1, 10))
    kept = [
        [row.output for row in settle(new_admission(stages_of(PAPER, api)), stage_3(2), completion(text)).instances][:5]
        for api, _ in itertools.product(Api, range(2))
    ]
    assert kept == [kept[0]] * 4
    assert len(kept[0]) == 5
    assert kept[0] != ["o1", "o2", "o3", "o4", "o5"]


def test_lines_of_our_own_prompt_are_echoes() -> None:
    line = "Here is a list of varied tasks that people have asked a helpful assistant to do."
    source = f"{line}\n{{tasks}}\n{{next_number}}."
    own = parse_template("instructions", Api.COMPLETIONS, source, PLACEHOLDERS["instructions"], where="a test")
    templates = packaged_prompts(Api.COMPLETIONS).templates | {"instructions": own}
    stages = stages_of(prompts=PromptSet(templates, {}))
    commit = settle(new_admission(stages), stage_1(), completion(listed([line + " Every task is different.", NEW[0]])))
    assert [row.reason for row in commit.candidates] == ["echo", None]
