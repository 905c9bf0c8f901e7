"""Which seed tasks a prompt shows, and how one is written in it.

Pure functions of the seeds: the same seeds always give the same demonstrations, in the same order. A user's own seeds
come first; where they do not suffice, the packaged ones fill up. A seed that does not say whether it is a
classification is no demonstration of that; it is one of a task that is answered input-first, as such tasks are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from fastinstruct.records import Instance, SeedTask

__all__ = [
    "classification_demonstrations",
    "held_out",
    "input_first_demonstrations",
    "one_line_json",
    "output_first_demonstrations",
    "render_classification",
    "render_classification_as_json",
    "render_input_first",
    "render_input_first_as_json",
    "render_output_first",
    "render_output_first_as_json",
]

_MAX_CHARS = 700  # longer seed tasks are left out of the prompts of stage 3: they would crowd out the others
_YES_SHARE = 12 / 31  # the paper shows 12 classification tasks among 31


def classification_demonstrations(seeds: Sequence[SeedTask], packaged: Sequence[SeedTask], num: int) -> list[SeedTask]:
    """Return `num` tasks for stage 2, classification ones spread evenly among the others.

    Source: Self-Instruct (arXiv:2212.10560), appendix A.2: 12 classification tasks and 19 others.
    """
    num_yes = max(1, round(num * _YES_SHARE))
    chosen_yes = _fill(seeds, packaged, num_yes, is_classification=True)
    chosen_no = _fill(seeds, packaged, num - num_yes, is_classification=False)
    return _spread(chosen_yes, chosen_no)


def held_out(seeds: Sequence[SeedTask], shown: Iterable[SeedTask], num: int) -> list[SeedTask]:
    """Return up to `num` seed tasks that a stage-2 prompt does not show, as many of one kind as of the other.

    Each instruction counts once, however often it is among the seeds.
    """
    known = {task.instruction for task in shown}
    rest: list[SeedTask] = []
    for task in seeds:
        if task.instruction not in known:
            known.add(task.instruction)
            rest.append(task)
    yes = [task for task in rest if task.is_classification is True]
    no = [task for task in rest if task.is_classification is False]
    half = min(len(yes), len(no), num // 2)
    return [task for pair in zip(yes[:half], no[:half], strict=True) for task in pair]


def input_first_demonstrations(seeds: Sequence[SeedTask], packaged: Sequence[SeedTask], num: int) -> list[SeedTask]:
    """Return `num` tasks not known as classification: two with several instances, one without input, and so on."""
    pools = [_fitting(group) for group in (seeds, packaged)]
    chosen: list[SeedTask] = []
    for pool in pools:
        chosen.extend(_in_turn([task for task in pool if not task.is_classification], num - len(chosen), chosen))
    return chosen


def output_first_demonstrations(seeds: Sequence[SeedTask], packaged: Sequence[SeedTask], num: int) -> list[SeedTask]:
    """Return `num` classification tasks that show at least two labels."""
    chosen: list[SeedTask] = []
    for pool in (_fitting(seeds), _fitting(packaged)):
        suitable = [task for task in pool if task.is_classification and len({i.output for i in task.instances}) > 1]
        chosen.extend(_without(suitable, chosen)[: num - len(chosen)])
    return chosen


def render_classification(task: SeedTask) -> str:
    """Write one stage-2 demonstration, followed by an empty line."""
    return f"Task: {_one_line(task.instruction)}\nLabel task: {'Yes' if task.is_classification else 'No'}\n\n"


def render_input_first(task: SeedTask) -> str:
    """Write one demonstration for tasks that are no classification, followed by an empty line."""
    if len(task.instances) == 1:
        body = _render_instance(task.instances[0])
    else:
        body = "".join(f"Example {i}\n{_render_instance(case)}" for i, case in enumerate(task.instances, 1))
    return f"Task: {_one_line(task.instruction)}\n{body}\n"


def render_output_first(task: SeedTask) -> str:
    """Write one demonstration for classification tasks, followed by an empty line."""
    body = "".join(f"Class label: {case.output.strip()}\n{case.input.strip()}\n" for case in task.instances)
    return f"Task: {_one_line(task.instruction)}\n{body}\n"


def render_classification_as_json(task: SeedTask) -> str:
    """Write one stage-2 demonstration whose answer is JSON, followed by an empty line."""
    answer = one_line_json({"is_classification": task.is_classification is True})
    return f"Task: {_one_line(task.instruction)}\nLabel task: {answer}\n\n"


def render_input_first_as_json(task: SeedTask) -> str:
    """Write one demonstration for tasks that are no classification, its instances as JSON, and an empty line."""
    cases = [{"input": case.input.strip(), "output": case.output.strip()} for case in task.instances]
    return _with_examples(task, cases)


def render_output_first_as_json(task: SeedTask) -> str:
    """Write one demonstration for classification tasks, labels before inputs, as JSON, and an empty line."""
    cases = [{"output": case.output.strip(), "input": case.input.strip()} for case in task.instances]
    return _with_examples(task, cases)


def _with_examples(task: SeedTask, cases: Sequence[dict[str, str]]) -> str:
    return f"Task: {_one_line(task.instruction)}\n{one_line_json({'examples': cases})}\n\n"


def one_line_json(value: object) -> str:
    """Write JSON as replies are to be: on one line, without spaces between its parts, in any script as it is."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _render_instance(case: Instance) -> str:
    given = f"Input: {case.input.strip()}\n" if case.input.strip() else ""
    return f"{given}Output: {case.output.strip()}\n"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _fill(
    seeds: Sequence[SeedTask], packaged: Sequence[SeedTask], num: int, *, is_classification: bool
) -> list[SeedTask]:
    own = [task for task in seeds if task.is_classification is is_classification][:num]
    spare = [task for task in packaged if task.is_classification is is_classification]
    return own + _without(spare, own)[: num - len(own)]


def _without(tasks: Iterable[SeedTask], taken: Iterable[SeedTask]) -> list[SeedTask]:
    known = {task.instruction for task in taken}
    return [task for task in tasks if task.instruction not in known]


def _fitting(tasks: Iterable[SeedTask]) -> list[SeedTask]:
    return [task for task in tasks if sum(len(i.input) + len(i.output) for i in task.instances) <= _MAX_CHARS]


def _spread(few: Sequence[SeedTask], many: Sequence[SeedTask]) -> list[SeedTask]:
    """Merge two lists evenly, so that no run of one answer teaches the model to repeat it."""
    marked = [((i + 0.5) / len(few), task) for i, task in enumerate(few)]
    marked += [((i + 0.5) / len(many), task) for i, task in enumerate(many)]
    return [task for _, task in sorted(marked, key=lambda pair: pair[0])]


def _in_turn(tasks: Iterable[SeedTask], num: int, taken: Iterable[SeedTask]) -> list[SeedTask]:
    """Draw two tasks with several instances, then one without input, and so on; those with one instance fill up.

    A demonstration with several instances teaches the form "Example 1, Example 2"; one without input, that an input
    is not always needed.
    """
    several: list[SeedTask] = []
    without_input: list[SeedTask] = []
    single: list[SeedTask] = []
    for task in _without(tasks, taken):
        has_input = bool(task.instances[0].input.strip())
        (several if len(task.instances) > 1 else single if has_input else without_input).append(task)
    chosen: list[SeedTask] = []
    while len(chosen) < num and (several or without_input):
        chosen += several[:2] + without_input[:1]
        del several[:2], without_input[:1]
    return (chosen + single)[:num]
