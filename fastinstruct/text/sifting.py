"""The heuristic filters of the profile `default` for instances, and how one instruction's are held against one another.

Knows nothing of parsing or runs. A rejection is a value, never an exception; the same arguments always give the same
verdict. What is judged here is what a field says; whether its borders are certain is for the parsers.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from fastinstruct.records import Instance, Rejection, RejectReason
from fastinstruct.text.phrases import is_refusal, leaks_into_instance

__all__ = ["Sifted", "sift", "sift_instances"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sifted:
    """One instruction's instances, divided: in the order of the reply, each with its reason where rejected."""

    kept: tuple[Instance, ...]
    rejected: tuple[tuple[Instance, Rejection], ...]


def sift_instances(instances: Iterable[Instance], max_instances: int = 5) -> Sifted:
    """Keep the sound instances of one instruction, the first `max_instances` of them.

    Rejected are: an empty output, an input equal to its output, an input or output that ends with a colon (it was
    broken off), refusals and pieces of the prompt; all instances, if two have the same input, not empty, and different
    outputs; duplicates; and what is beyond the limit.

    Source: arXiv:2212.10560, section 2.2; refusals and leaks are ours, for chat models.
    """
    return sift(instances, _fault, max_instances, None)


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


def _fault(instance: Instance) -> RejectReason | None:
    """What is wrong with an instance by itself."""
    given, output = instance.input.strip(), instance.output.strip()
    if not output:
        return RejectReason.EMPTY_OUTPUT
    if given == output:
        return RejectReason.INPUT_EQUALS_OUTPUT
    if given.endswith((":", "：")) or output.endswith((":", "：")):
        return RejectReason.TRAILING_COLON
    if is_refusal(instance.output):
        return RejectReason.REFUSAL
    leaks = leaks_into_instance(instance.output) or leaks_into_instance(instance.input)
    return RejectReason.TEMPLATE_LEAK if leaks else None
