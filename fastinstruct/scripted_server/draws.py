"""Chance without state: numbers that depend on nothing but what they are drawn for."""

from __future__ import annotations

import hashlib

__all__ = ["draw_64", "text_sha256", "unit_draw"]


def text_sha256(text: str) -> str:
    """Hexadecimal SHA-256 of the text in UTF-8; lone surrogates are taken as they are."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def draw_64(*key: object) -> int:
    """An integer in [0, 2**64) that depends on nothing but the key, a sequence of strings, ints and None."""
    return int.from_bytes(hashlib.blake2b(repr(key).encode(), digest_size=8).digest(), "big")


def unit_draw(*key: object) -> float:
    """A number in [0, 1) that depends on nothing but the key, a sequence of strings, ints and None."""
    return (draw_64(*key) >> 11) / 2**53
