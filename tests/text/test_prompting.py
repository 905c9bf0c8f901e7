"""Prompts out: templates anybody may edit, checked by name, and filled the same way every time."""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from fastinstruct.config import RunConfig, settings_of
from fastinstruct.errors import ConfigError
from fastinstruct.records import Api, Instance, Message, Prompt, ReplyForm, SeedTask
from fastinstruct.scripted_server.replies import Kind, recognise
from fastinstruct.text.demonstrations import (
    classification_demonstrations,
    held_out,
    input_first_demonstrations,
    output_first_demonstrations,
    render_classification,
    render_classification_as_json,
    render_input_first,
    render_input_first_as_json,
    render_output_first,
    render_output_first_as_json,
)
from fastinstruct.text.folder import prompt_folder
from fastinstruct.text.prompting import PromptSet, asking_for_tasks, load_templates, render
from fastinstruct.text.seeds import packaged_seeds
from fastinstruct.text.structured import examples_format, is_answer, is_classification_format
from run_stages import PLACEHOLDERS, SELF_INSTRUCT

PACKAGED = packaged_seeds()
KINDS = {
    "instructions": Kind.INSTRUCTIONS,
    "classification": Kind.CLASSIFICATION,
    "input_first": Kind.INPUT_FIRST,
    "output_first": Kind.OUTPUT_FIRST,
}
SINGLE = SeedTask(
    id="own",
    name="",
    instruction="Name the capital of the country.",
    instances=(Instance(input="Peru", output="Lima"),),
    is_classification=False,
)
LABELLING = SeedTask(
    id="label",
    name="",
    instruction="Is the animal wild or tame?",
    instances=(Instance(input="a wolf", output="wild"), Instance(input="a poodle", output="tame")),
    is_classification=True,
)

apis = pytest.mark.parametrize("api", list(Api))
names = pytest.mark.parametrize("name", list(PLACEHOLDERS))
text_names = pytest.mark.parametrize("name", list(KINDS))
json_names = pytest.mark.parametrize("name", [f"{name}.json" for name in KINDS])


def prompt_set(api: Api, seeds: tuple[SeedTask, ...] = PACKAGED, folder: Path | None = None) -> PromptSet:
    """Make the prompts of a run with the default configuration."""
    shown: dict[str, Sequence[str]] = {}
    for stage in SELF_INSTRUCT.stages:
        shown |= stage.demonstrations(seeds, PACKAGED, settings_of(RunConfig(), stage.name, stage.settings))
    return PromptSet(load_templates(api, PLACEHOLDERS, folder), shown)


def for_tasks(prompts: PromptSet, in_context: Sequence[str], num_items: int, name: str = "instructions") -> Prompt:
    return asking_for_tasks(prompts.templates[name], in_context, num_items)


def phrases_of(prompts: PromptSet) -> tuple[str, ...]:
    return prompts.phrases(SELF_INSTRUCT.stages[0].placeholders())


def text_of(prompt: Prompt) -> str:
    return prompt if isinstance(prompt, str) else "\n".join(message.content for message in prompt)


def filled(prompts: PromptSet, name: str, about: str = "Name three birds.") -> str:
    if name.startswith("instructions"):
        return text_of(for_tasks(prompts, [about, "Fold a paper hat."], 8, name))
    return text_of(prompts.about(name, about))


# ----------------------------------------------------------------------------------------------- the packaged prompts


@apis
@names
def test_every_packaged_prompt_is_filled_completely(api: Api, name: str) -> None:
    text = filled(prompt_set(api), name)
    assert "Name three birds." in text
    holes = ("tasks", "next_number", "last_number", "num_items", "demonstrations", "instruction")
    assert not [hole for hole in holes if f"{{{hole}}}" in text]


@apis
@text_names
def test_the_scripted_server_recognises_every_packaged_prompt(api: Api, name: str) -> None:
    assert recognise(filled(prompt_set(api), name)) is KINDS[name]
    assert recognise(filled(prompt_set(api, (SINGLE,)), name)) is KINDS[name]


@apis
@names
def test_two_prompts_of_a_stage_share_everything_before_their_tasks(api: Api, name: str) -> None:
    """A server that caches prefixes reads the fixed part once."""
    prompts = prompt_set(api)
    first, second = filled(prompts, name, "Alpha beta gamma."), filled(prompts, name, "Delta epsilon zeta.")
    common = next(place for place, (a, b) in enumerate(zip(first, second, strict=False)) if a != b)
    assert first[common:].startswith("Alpha")
    assert second[common:].startswith("Delta")
    assert len(first) - common < 200


def test_a_chat_prompt_is_a_system_and_a_user_message() -> None:
    prompts = prompt_set(Api.CHAT)
    for prompt in (
        for_tasks(prompts, ["Name three birds."], 8),
        prompts.about("classification", "Name three birds."),
    ):
        assert isinstance(prompt, tuple)
        assert [message.role for message in prompt] == ["system", "user"]
        assert all(message.content == message.content.strip() for message in prompt)


@apis
@json_names
def test_a_json_prompt_says_json_and_shows_its_form(api: Api, name: str) -> None:
    """Servers refuse `json_object` where the prompt does not speak of JSON, and do not tell a model the schema."""
    text = filled(prompt_set(api), name)
    assert "JSON object" in text
    assert '{"tasks":["Name three birds.","Fold a paper hat."]}' in text or name != "instructions.json"
    assert '{"is_classification":true}' in text or name != "classification.json"
    assert '{"is_classification":false}' in text or name != "classification.json"
    assert '\n{"examples":[{"input":"' in text or name != "input_first.json"
    assert '\n{"examples":[{"output":"' in text or name != "output_first.json"


@apis
@json_names
def test_a_json_prompt_shows_no_marker_of_the_text_format(api: Api, name: str) -> None:
    text = filled(prompt_set(api), name)
    assert not [marker for marker in ("Input:", "Output:", "Class label:", "Example 1", "1. ") if f"\n{marker}" in text]


@names
def test_a_completions_prompt_ends_where_the_model_goes_on(name: str) -> None:
    text = filled(prompt_set(Api.COMPLETIONS), name)
    endings = {
        "instructions": "\n3.",
        "classification": "Task: Name three birds.\nLabel task:",
        "input_first": "Task: Name three birds.\n",
        "output_first": "Task: Name three birds.\n",
        "instructions.json": '\n{"tasks":["Name three birds.","Fold a paper hat."]}\n',
        "classification.json": "Task: Name three birds.\nLabel task:",
        "input_first.json": '"}]}\n\nTask: Name three birds.\n',
        "output_first.json": '"}]}\n\nTask: Name three birds.\n',
    }
    assert text.endswith(endings[name])


# ------------------------------------------------------------------------------------------------------------- filling


@apis
def test_tasks_are_numbered_from_one_with_white_space_collapsed_and_no_trailing_colon(api: Api) -> None:
    text = text_of(for_tasks(prompt_set(api), ["Name  three\n birds:", "Sort these words::", "Why?"], 5))
    assert "\n1. Name three birds\n2. Sort these words\n3. Why?\n" in text


def test_a_chat_prompt_says_which_numbers_to_write() -> None:
    text = text_of(for_tasks(prompt_set(Api.CHAT), ["a", "b", "c"], 5))
    assert "Add 5 tasks" in text
    assert "Now write tasks 4 to 8, one a line" in text


@apis
def test_braces_and_markers_in_tasks_stay_as_they_are(api: Api) -> None:
    nasty = r"Fill {tasks} in {next_number}, {instruction} {demonstrations} {} {0} \1 \g<0> $x %s [user]"
    prompts = prompt_set(api)
    assert f"1. {nasty}\n2. Fold a paper hat." in filled(prompts, "instructions", nasty)
    for name in ("classification", "input_first", "output_first"):
        assert f"Task: {nasty}\n" in filled(prompts, name, nasty) + "\n"


@apis
def test_quotes_braces_and_scripts_in_tasks_are_json_in_a_json_prompt(api: Api) -> None:
    nasty = [r'Say "{tasks}" in C:\temp {num_items}:', "请写一首诗。", "two\nlines \u2028 and more"]
    text = text_of(for_tasks(prompt_set(api), nasty, 8, "instructions.json"))
    line = next(line for line in text.splitlines() if line.startswith('{"tasks":["Say'))
    assert json.loads(line) == {
        "tasks": [r'Say "{tasks}" in C:\temp {num_items}', "请写一首诗。", "two lines and more"]
    }
    assert "请写一首诗。" in line


@apis
def test_braces_in_demonstrations_stay_as_they_are(api: Api) -> None:
    shown = [replace(SINGLE, instruction="Explain what {instruction} and {demonstrations} mean.")]
    ways = (render_classification, render_input_first, render_output_first)
    kinds = ("classification", "input_first", "output_first")
    written = {kind: [*map(way, shown)] for kind, way in zip(kinds, ways, strict=True)}
    prompts = PromptSet(load_templates(api, PLACEHOLDERS), written)
    for name in kinds:
        text = filled(prompts, name, "Fold a paper hat.")
        assert text.count("Task: Explain what {instruction} and {demonstrations} mean.\n") == 1
        assert text.count("Fold a paper hat.") == 1


def test_an_instruction_is_one_line_in_its_prompt() -> None:
    text = filled(prompt_set(Api.COMPLETIONS), "classification", "Sort these:\n\nTask: evil\nLabel task: Yes")
    assert text.endswith("Task: Sort these: Task: evil Label task: Yes\nLabel task:")


# ------------------------------------------------------------------------------------------------ a folder of one's own


def write(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_users_template_replaces_the_packaged_one_and_the_others_stay(tmp_path: Path) -> None:
    write(tmp_path, "instructions", "Mine:\n{tasks}\n{next_number}.\n")
    prompts = prompt_set(Api.COMPLETIONS, folder=tmp_path)
    assert for_tasks(prompts, ["One."], 8) == "Mine:\n1. One.\n2."
    assert prompts.about("classification", "x") == prompt_set(Api.COMPLETIONS).about("classification", "x")


def test_a_users_chat_template_may_have_any_sections(tmp_path: Path) -> None:
    write(
        tmp_path,
        "instructions",
        "[user]\nHello.\n[assistant]  \nHi!\n[user]\n{tasks}\n\n[section] {next_number}-{last_number}: {num_items}\n",
    )
    assert for_tasks(prompt_set(Api.CHAT, folder=tmp_path), ["One."], 8) == (
        Message(role="user", content="Hello."),
        Message(role="assistant", content="Hi!"),
        Message(role="user", content="1. One.\n\n[section] 2-9: 8"),
    )


def test_a_template_saved_by_notepad_is_read(tmp_path: Path) -> None:
    (tmp_path / "instructions.txt").write_bytes(b"\xef\xbb\xbf[user]\r\nMine:\r\n{tasks}\r\n{next_number}\r\n")
    assert for_tasks(prompt_set(Api.CHAT, folder=tmp_path), ["One."], 8) == (
        Message(role="user", content="Mine:\n1. One.\n2"),
    )


@apis
@pytest.mark.parametrize(
    ("name", "missing"), [(name, hole) for name, holes in PLACEHOLDERS.items() for hole in sorted(holes.required)]
)
def test_a_missing_placeholder_is_named_with_its_file(tmp_path: Path, api: Api, name: str, missing: str) -> None:
    packaged = (prompt_folder() / api / f"{name}.txt").read_text(encoding="utf-8")
    path = write(tmp_path, name, packaged.replace(f"{{{missing}}}", ""))
    with pytest.raises(ConfigError) as caught:
        load_templates(api, PLACEHOLDERS, tmp_path)
    assert str(caught.value) == f"{path}: the placeholder {{{missing}}} is missing"


@apis
@pytest.mark.parametrize(("name", "unknown"), [("instructions", "instruction"), ("classification", "num_items")])
def test_an_unknown_placeholder_is_named_with_its_file(tmp_path: Path, api: Api, name: str, unknown: str) -> None:
    packaged = (prompt_folder() / api / f"{name}.txt").read_text(encoding="utf-8")
    path = write(tmp_path, name, f"{packaged}{{{unknown}}}")
    with pytest.raises(ConfigError) as caught:
        load_templates(api, PLACEHOLDERS, tmp_path)
    assert str(caught.value) == f"{path}: unknown placeholder {{{unknown}}}"


def test_braces_that_are_no_placeholder_may_stand_in_a_template(tmp_path: Path) -> None:
    write(tmp_path, "instructions", 'As JSON {"a": {}} {1} {Not one}:\n{tasks}\n{next_number}.')
    text = text_of(for_tasks(prompt_set(Api.COMPLETIONS, folder=tmp_path), ["One."], 8))
    assert text == 'As JSON {"a": {}} {1} {Not one}:\n1. One.\n2.'


@pytest.mark.parametrize("text", ["{tasks} {next_number}", "Hello\n[user]\n{tasks} {next_number}"])
def test_a_chat_template_without_sections_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, "instructions", text)
    with pytest.raises(ConfigError) as caught:
        load_templates(Api.CHAT, PLACEHOLDERS, tmp_path)
    assert str(caught.value) == f"{path}: a chat prompt starts with a line [system] or [user]"


def test_a_template_that_is_no_text_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "input_first.txt"
    path.write_bytes(b"\xff\xfe{demonstrations}")
    with pytest.raises(ConfigError, match="is not UTF-8 text") as caught:
        load_templates(Api.CHAT, PLACEHOLDERS, tmp_path)
    assert str(caught.value).startswith(f"{path}: ")
    path.unlink()
    path.mkdir()
    with pytest.raises(ConfigError, match=r"input_first\.txt: cannot be read: Is a directory"):
        load_templates(Api.CHAT, PLACEHOLDERS, tmp_path)


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_templates(Api.CHAT, PLACEHOLDERS, tmp_path / "absent")
    assert str(caught.value) == f"prompts: {tmp_path / 'absent'} is no folder"


def test_a_folder_without_any_template_is_refused_and_not_silently_ignored(tmp_path: Path) -> None:
    """For one, a copy of the packaged folder, whose templates lie a level deeper."""
    shutil.copytree(prompt_folder(), tmp_path / "prompts")
    with pytest.raises(ConfigError) as caught:
        load_templates(Api.CHAT, PLACEHOLDERS, tmp_path / "prompts")
    assert str(caught.value) == (
        f"prompts: {tmp_path / 'prompts'} holds none of "
        "instructions.txt, classification.txt, input_first.txt, output_first.txt, "
        "instructions.json.txt, classification.json.txt, input_first.json.txt, output_first.json.txt"
    )
    assert load_templates(Api.CHAT, PLACEHOLDERS, tmp_path / "prompts" / "chat") == load_templates(
        Api.CHAT, PLACEHOLDERS
    )


@apis
def test_a_fingerprint_changes_with_the_template_and_with_the_demonstrations(tmp_path: Path, api: Api) -> None:
    packaged, own = prompt_set(api).fingerprints(), prompt_set(api, (SINGLE, LABELLING)).fingerprints()
    assert packaged == prompt_set(api).fingerprints()
    assert [name for name in packaged if packaged[name] != own[name]] == [
        "classification",
        "input_first",
        "output_first",
        "classification.json",
        "input_first.json",
        "output_first.json",
    ]
    source = (prompt_folder() / api / "instructions.txt").read_text(encoding="utf-8")
    write(tmp_path, "instructions", source + " ")
    edited = prompt_set(api, folder=tmp_path).fingerprints()
    assert [name for name in packaged if packaged[name] != edited.get(name)] == ["instructions", "instructions.json"]


# What runs hold that were begun with version 0.1.0: they are to go on.
OLD_FINGERPRINTS = {
    Api.CHAT: {
        "instructions": "c9efa90540ff5cbaafd4d02281f3d682e784b6c4af6b1cd74c1bddc45ad11e4c",
        "classification": "908cd10c30e21d0a777b0fdbe4cc259a1d597333333c915e98b9d5dae155a30f",
        "input_first": "fcd32f3cf95872c33aa0b7476a3c562f1af53f06c0ef6d3ff6cbd3695bee3417",
        "output_first": "3ec33dfd4e142a90b1ddc5b66795636f079e71d353dddbfd8843e83d32705308",
    },
    Api.COMPLETIONS: {
        "instructions": "e1b2a384db4378a0ba4738b41cfe3f1365143904a56a6899ee5e0a762a8af260",
        "classification": "a6b553a3d6a93baceed83c280daafcb1d2ceee9ea041f0b4409dbb8c0c364bbf",
        "input_first": "f46a7bf9fa3076c164d6928fc7b67f13d146ef3448fa10cfcb6d9bab27f349a6",
        "output_first": "7c8cd046ce0e45d5e9ea7ab6939f9d24add1b81cd9c9ef811a2d205b3d563bd9",
    },
}


@apis
def test_the_fingerprints_of_the_text_prompts_are_those_of_older_runs(api: Api) -> None:
    found = prompt_set(api).fingerprints()
    assert {name: found[name] for name in KINDS} == OLD_FINGERPRINTS[api]


def test_a_users_text_template_takes_the_packaged_json_one_out_of_use(tmp_path: Path) -> None:
    write(tmp_path, "instructions", "[user]\nMine:\n{tasks}\n{next_number}\n")
    found = load_templates(Api.CHAT, PLACEHOLDERS, tmp_path)
    assert "instructions.json" not in found
    assert {name: found[name] for name in found if name != "instructions"} == {
        name: template
        for name, template in load_templates(Api.CHAT, PLACEHOLDERS).items()
        if not name.startswith("instructions")
    }


def test_a_users_json_template_leaves_the_text_one_to_the_package(tmp_path: Path) -> None:
    write(tmp_path, "instructions.json", '[user]\nJSON {"tasks":{tasks}}, {num_items} more')
    found = load_templates(Api.CHAT, PLACEHOLDERS, tmp_path)
    assert found["instructions"] == load_templates(Api.CHAT, PLACEHOLDERS)["instructions"]
    assert for_tasks(prompt_set(Api.CHAT, folder=tmp_path), ["One."], 8, "instructions.json") == (
        Message(role="user", content='JSON {"tasks":["One."]}, 8 more'),
    )


def test_a_users_folder_may_hold_both_kinds(tmp_path: Path) -> None:
    write(tmp_path, "instructions", "Mine:\n{tasks}\n{next_number}.")
    write(tmp_path, "instructions.json", "Mine too:\n{tasks}")
    prompts = prompt_set(Api.COMPLETIONS, folder=tmp_path)
    assert for_tasks(prompts, ["One."], 8) == "Mine:\n1. One.\n2."
    assert for_tasks(prompts, ["One."], 8, "instructions.json") == 'Mine too:\n["One."]\n'
    assert len(prompts.fingerprints()) == 8


def test_rendering_leaves_the_template_as_it_is() -> None:
    template = load_templates(Api.COMPLETIONS, PLACEHOLDERS)["instructions"]
    assert render(template, {"tasks": "1. a", "next_number": "2"}) == render(
        template, {"tasks": "1. a", "next_number": "2"}
    )


@apis
def test_the_phrases_of_a_prompt_are_its_own_whole_lines(api: Api) -> None:
    phrases = phrases_of(prompt_set(api))
    assert phrases
    text = filled(prompt_set(api), "instructions") + filled(prompt_set(api), "instructions.json")
    assert len(set(phrases)) == len(phrases)
    for phrase in phrases:
        assert phrase in text
        assert "Name three birds" not in phrase
        assert len(phrase.split()) >= 4


@pytest.mark.parametrize("line", ["...", "—", ":", "Tasks:", "Write", "-----", "* * *", "A list:"])
def test_a_short_line_of_a_users_template_is_no_phrase(tmp_path: Path, line: str) -> None:
    """Candidates that begin with a phrase are rejected as echoes: "..." would reject every one of them."""
    write(tmp_path, "instructions", f"{line}\n{{tasks}}\n{line}\n{{next_number}}.")
    assert phrases_of(prompt_set(Api.COMPLETIONS, folder=tmp_path)) == ()


def test_a_long_line_of_a_users_template_is_a_phrase_in_any_script(tmp_path: Path) -> None:
    write(
        tmp_path,
        "instructions",
        "- Each task differs from the others.\n请写出八个不同的任务。\n{tasks}\n{next_number}.",
    )
    assert phrases_of(prompt_set(Api.COMPLETIONS, folder=tmp_path)) == (
        "Each task differs from the others.",
        "请写出八个不同的任务。",
    )


# ------------------------------------------------------------------------------------------------------ demonstrations


def test_stage_2_shows_12_classification_tasks_of_31_spread_evenly() -> None:
    shown = classification_demonstrations(PACKAGED, PACKAGED, 31)
    answers = [task.is_classification is True for task in shown]
    assert (len(shown), sum(answers)) == (31, 12)
    assert len({task.instruction for task in shown}) == 31
    places = [place for place, answer in enumerate(answers) if answer]
    assert {later - earlier for earlier, later in pairwise(places)} == {2, 3}


@pytest.mark.parametrize(("num", "num_yes"), [(2, 1), (3, 1), (10, 4), (31, 12), (62, 24)])
def test_any_number_of_stage_2_demonstrations_keeps_the_share(num: int, num_yes: int) -> None:
    shown = classification_demonstrations(PACKAGED, PACKAGED, num)
    assert (len(shown), sum(task.is_classification is True for task in shown)) == (num, num_yes)


def test_a_users_own_seeds_come_first_and_packaged_ones_fill_up() -> None:
    own = (SINGLE, LABELLING)
    shown = classification_demonstrations(own, PACKAGED, 31)
    assert {task.id for task in shown if task in own} == {"own", "label"}
    assert next(task for task in shown if task.is_classification) is LABELLING
    assert next(task for task in shown if not task.is_classification) is SINGLE
    assert (len(shown), len({task.instruction for task in shown})) == (31, 31)
    assert input_first_demonstrations(own, PACKAGED, 11)[0] is SINGLE
    assert len(input_first_demonstrations(own, PACKAGED, 11)) == 11
    assert output_first_demonstrations(own, PACKAGED, 16)[0] is LABELLING
    assert len(output_first_demonstrations(own, PACKAGED, 16)) == 16


@pytest.mark.parametrize("seed", [SINGLE, LABELLING])
def test_a_single_seed_task_is_enough(seed: SeedTask) -> None:
    for api in Api:
        prompts = prompt_set(api, (seed,))
        assert seed.instruction in filled(prompts, "classification")
        stage_3 = "output_first" if seed.is_classification else "input_first"
        assert seed.instruction in filled(prompts, stage_3)


def test_enough_seeds_of_ones_own_leave_no_room_for_packaged_ones() -> None:
    own = [
        SeedTask(
            id=f"own {n}",
            name="",
            instruction=f"Own task {n}.",
            instances=(Instance(input="a", output="x"), Instance(input="b", output="y")),
            is_classification=n % 2 == 0,
        )
        for n in range(80)
    ]
    for shown in (
        classification_demonstrations(own, PACKAGED, 31),
        input_first_demonstrations(own, PACKAGED, 11),
        output_first_demonstrations(own, PACKAGED, 16),
    ):
        assert all(task in own for task in shown)


def test_a_seed_that_a_user_copied_from_the_packaged_ones_is_shown_once() -> None:
    own = tuple(random.Random(3).sample(PACKAGED, 5))
    for shown in (
        classification_demonstrations(own, PACKAGED, 31),
        input_first_demonstrations(own, PACKAGED, 11),
        output_first_demonstrations(own, PACKAGED, 16),
    ):
        assert max(Counter(task.instruction for task in shown).values()) == 1


def test_demonstrations_of_stage_3_are_of_their_kind_and_short() -> None:
    input_first = input_first_demonstrations(PACKAGED, PACKAGED, 11)
    output_first = output_first_demonstrations(PACKAGED, PACKAGED, 16)
    assert (len(input_first), len(output_first)) == (11, 16)
    assert not any(task.is_classification for task in input_first)
    assert all(task.is_classification for task in output_first)
    for task in [*input_first, *output_first]:
        assert sum(len(case.input) + len(case.output) for case in task.instances) <= 700


def test_packaged_input_first_demonstrations_carry_several_instances_or_need_no_input() -> None:
    shown = input_first_demonstrations(PACKAGED, PACKAGED, 11)
    shapes = [len(task.instances) if task.instances[0].input else 0 for task in shown]
    assert [shape > 1 for shape in shapes] == [True, True, False] * 3 + [True, True]
    assert set(shapes) <= {0, 2, 3}


def test_a_mistyped_template_name_is_refused_and_not_ignored(tmp_path: Path) -> None:
    (tmp_path / "instructions.txt").write_text("{tasks}\n{next_number}.", encoding="utf-8")
    (tmp_path / "input_frist.txt").write_text("{demonstrations}\n{instruction}", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"input_frist.txt is no template; .* classification.txt"):
        load_templates(Api.COMPLETIONS, PLACEHOLDERS, tmp_path)


def test_output_first_demonstrations_show_every_label_of_their_task() -> None:
    for task in output_first_demonstrations(PACKAGED, PACKAGED, 16):
        labels = {case.output.strip() for case in task.instances}
        assert len(labels) > 1
        text = render_output_first(task)
        assert all(f"\nClass label: {label}\n" in text for label in labels)


def test_demonstrations_are_written_in_the_papers_format() -> None:
    several = SeedTask(
        id="s", name="", instruction="Count\nthe  vowels.", instances=LABELLING.instances, is_classification=False
    )
    without = SeedTask(
        id="w",
        name="",
        instruction="Tell a joke.",
        instances=(Instance(input="", output=" Knock! "),),
        is_classification=False,
    )
    assert render_classification(SINGLE) == "Task: Name the capital of the country.\nLabel task: No\n\n"
    assert render_classification(LABELLING) == "Task: Is the animal wild or tame?\nLabel task: Yes\n\n"
    assert render_input_first(SINGLE) == "Task: Name the capital of the country.\nInput: Peru\nOutput: Lima\n\n"
    assert render_input_first(without) == "Task: Tell a joke.\nOutput: Knock!\n\n"
    assert render_input_first(several) == (
        "Task: Count the vowels.\nExample 1\nInput: a wolf\nOutput: wild\nExample 2\nInput: a poodle\nOutput: tame\n\n"
    )
    assert render_output_first(LABELLING) == (
        "Task: Is the animal wild or tame?\nClass label: wild\na wolf\nClass label: tame\na poodle\n\n"
    )


def test_demonstrations_of_json_prompts_are_what_their_schemas_ask_for() -> None:
    assert render_classification_as_json(SINGLE) == (
        'Task: Name the capital of the country.\nLabel task: {"is_classification":false}\n\n'
    )
    assert render_input_first_as_json(SINGLE) == (
        'Task: Name the capital of the country.\n{"examples":[{"input":"Peru","output":"Lima"}]}\n\n'
    )
    assert render_output_first_as_json(LABELLING) == (
        "Task: Is the animal wild or tame?\n"
        '{"examples":[{"output":"wild","input":"a wolf"},{"output":"tame","input":"a poodle"}]}\n\n'
    )
    binary = is_classification_format(ReplyForm.JSON_SCHEMA).schema
    for task in PACKAGED:
        schema = examples_format(ReplyForm.JSON_SCHEMA, max_instances=99, output_first=False).schema
        assert is_answer(binary, render_classification_as_json(task).splitlines()[1].removeprefix("Label task: "))
        assert is_answer(schema, render_input_first_as_json(task).splitlines()[1])
        assert is_answer(schema, render_output_first_as_json(task).splitlines()[1])


def test_seeds_that_do_not_say_are_no_demonstrations_of_stage_2() -> None:
    """Nor may they calibrate its threshold; stage 3 shows them as it answers them: input-first."""
    unknown = tuple(replace(SINGLE, id=f"u{n}", instruction=f"Unknown {n}.", is_classification=None) for n in range(9))
    shown = classification_demonstrations(unknown, PACKAGED, 31)
    assert not [task for task in shown if task.is_classification is None]
    assert (len(shown), sum(task.is_classification is True for task in shown)) == (31, 12)
    assert held_out([*unknown, LABELLING], shown, 40) == []
    assert input_first_demonstrations(unknown, PACKAGED, 4) == list(unknown[:4])
    assert not set(output_first_demonstrations(unknown, PACKAGED, 4)) & set(unknown)


@pytest.mark.parametrize("num", [4, 40, 200])
def test_held_out_seeds_are_not_shown_balanced_and_each_there_once(num: int) -> None:
    shown = classification_demonstrations(PACKAGED, PACKAGED, 31)
    hidden = held_out([*PACKAGED, *PACKAGED], shown, num)
    instructions = [task.instruction for task in hidden]
    assert len(set(instructions)) == len(instructions) <= num
    assert not {task.instruction for task in shown} & set(instructions)
    assert [task.is_classification for task in hidden] == [True, False] * (len(hidden) // 2)
    assert len(hidden) >= min(num, 40)
