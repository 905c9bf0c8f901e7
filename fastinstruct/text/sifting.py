"""The heuristic filters of the profile `default` for instances, and how one instruction's are held against one another.

Knows nothing of parsing or runs. A rejection is a value, never an exception; the same arguments always give the same
verdict. What is judged here is what a field says; whether its borders are certain is for the parsers.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from fastinstruct.records import Instance, Rejection, RejectReason
from fastinstruct.text.emptiness import is_no_output
from fastinstruct.text.holes import asks_for_holes, asks_for_repetition, has_hole, repeats_itself
from fastinstruct.text.phrases import leaks_into_instance
from fastinstruct.text.refusals import is_models_refusal, is_refusal
from fastinstruct.text.remarks import ends_a_reply, is_sure_line

__all__ = ["Sifted", "sift", "sift_instances"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sifted:
    """One instruction's instances, divided: in the order of the reply, each with its reason where rejected."""

    kept: tuple[Instance, ...]
    rejected: tuple[tuple[Instance, Rejection], ...]


def sift_instances(instances: Iterable[Instance], max_instances: int = 5, *, instruction: str = "") -> Sifted:
    """Keep the sound instances of one instruction, the first `max_instances` of them.

    Rejected are: an output that is empty or says that there is none, characters that were lost, an input equal to its
    output, refusals, pieces of the prompt, holes to fill in (unless `instruction` asks for a template or code), what is
    said around an answer, one thing over and over, and an input or output that ends with a colon (it was broken off);
    all instances, if two have the same input, not empty, and different outputs; duplicates; and what is beyond the
    limit.

    Source: arXiv:2212.10560, section 2.2; what chat models add is ours.
    """

    def fault(instance: Instance) -> RejectReason | None:
        return _fault(instance, instruction)

    return sift(instances, fault, max_instances, None)


def sift(
    instances: Iterable[Instance],
    fault: Callable[[Instance], RejectReason | None],
    max_instances: int,
    rng: random.Random | None,
) -> Sifted:
    """Sift one instruction's instances by `fault` and against one another.

    Of more than `max_instances`, that many are drawn with `rng`, or the first kept without one. Kept instances stay in
    the order of the reply, however they were drawn.
    """
    listed = list(instances)
    reasons = [fault(instance) for instance in listed]
    sound = [place for place, reason in enumerate(reasons) if reason is None]
    if _conflict(listed[place] for place in sound):
        reasons = [reason or RejectReason.CONFLICTING_OUTPUTS for reason in reasons]
    else:
        first_place = {listed[place]: place for place in reversed(sound)}
        for place in sound:
            if first_place[listed[place]] != place:
                reasons[place] = RejectReason.DUPLICATE
        for place in _surplus(sorted(first_place.values()), max_instances, rng):
            reasons[place] = RejectReason.SURPLUS
    kept = tuple(instance for instance, reason in zip(listed, reasons, strict=True) if reason is None)
    judged = zip(listed, reasons, strict=True)
    rejected = tuple((instance, Rejection(reason=reason)) for instance, reason in judged if reason is not None)
    return Sifted(kept=kept, rejected=rejected)


def _conflict(instances: Iterable[Instance]) -> bool:
    """Whether two instances have the same input, not empty, but different outputs."""
    outputs: dict[str, str] = {}
    return any(one.input and outputs.setdefault(one.input, one.output) != one.output for one in instances)


def _surplus(places: Sequence[int], max_instances: int, rng: random.Random | None) -> Iterable[int]:
    if len(places) <= max_instances:
        return ()
    if rng is None:
        return places[max_instances:]
    return set(places) - set(rng.sample(places, max_instances))


def _fault(instance: Instance, instruction: str) -> RejectReason | None:
    """What is wrong with an instance by itself."""
    given, output = instance.input.strip(), instance.output.strip()
    if is_no_output(output):
        return RejectReason.EMPTY_OUTPUT
    if "\ufffd" in given or "\ufffd" in output:  # stands for bytes that were no character
        return RejectReason.UNCERTAIN
    if given == output:
        return RejectReason.INPUT_EQUALS_OUTPUT
    if is_refusal(output) or is_models_refusal(given):
        return RejectReason.REFUSAL
    return _chat_fault(given, output, instruction) or _broken(given, output, instruction)


def _chat_fault(given: str, output: str, instruction: str) -> RejectReason | None:
    """What chat models add: pieces of the prompt, holes, and what they say around an answer."""
    if leaks_into_instance(output) or leaks_into_instance(given):
        return RejectReason.TEMPLATE_LEAK
    if (has_hole(output) or has_hole(given)) and not asks_for_holes(instruction):
        return RejectReason.PLACEHOLDER
    if is_sure_line(output) or is_sure_line(given) or ends_a_reply(output.rpartition("\n\n")[2], output, instruction):
        return RejectReason.REMARK
    return None


def _broken(given: str, output: str, instruction: str) -> RejectReason | None:
    if (repeats_itself(output) or repeats_itself(given)) and not asks_for_repetition(instruction):
        return RejectReason.REPETITION
    return RejectReason.TRAILING_COLON if given.endswith((":", "：")) or output.endswith((":", "：")) else None
