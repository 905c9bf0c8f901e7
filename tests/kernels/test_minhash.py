"""Signatures have datasketch's bits, and travel to its objects and back."""

import hashlib
import random

import numpy as np
import pytest
from datasketch import MinHash
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import naive
from fastinstruct.errors import InputError
from fastinstruct.similarity import LSHIndex, tokenize
from fastinstruct.similarity.signatures import HashedLexicon, from_datasketch, hash32
from fastinstruct_kernels.minhash import permutations_from, sign_all

claim = settings(deadline=None, max_examples=150, derandomize=True, database=None)
characters = st.one_of(st.sampled_from("abcdefgh é写作"), st.characters(exclude_categories=["Cs"]))
some_texts = st.lists(st.text(characters, max_size=60), max_size=5)


def signatures(texts: list[str], num_perm: int, seed: int, *, learn: bool = True) -> NDArray[np.uint32]:
    numbered = HashedLexicon("unicode").numbered(texts, learn=learn)
    signed = np.empty((len(texts), num_perm), dtype=np.uint32)
    sign_all(numbered.hashes, numbered.starts, permutations_from(num_perm, seed), signed)
    return signed


def datasketch_of(tokens: list[str], num_perm: int = 128, seed: int = 1) -> MinHash:
    sketch = MinHash(num_perm=num_perm, seed=seed)
    sketch.update_batch([token.encode() for token in tokens])
    return sketch


@given(some_texts, st.integers(1, 200), st.integers(0, 2**32 - 1), st.booleans())
@claim
def test_signatures_are_those_of_datasketch(texts: list[str], num_perm: int, seed: int, learn: bool) -> None:
    expected = [datasketch_of(tokenize(text), num_perm, seed).hashvalues.tolist() for text in texts]
    assert signatures(texts, num_perm, seed, learn=learn).tolist() == expected


@given(some_texts)
@claim
def test_signatures_are_those_of_the_plain_twin(texts: list[str]) -> None:
    draw = np.random.RandomState(7)
    halves, offsets = (draw.randint(0, high, 16, dtype=np.uint32).tolist() for high in (2**31, 2**32))
    multipliers = [2 * half + 1 for half in halves]
    expected = [naive.signature(tokenize(text), multipliers, offsets) for text in texts]
    assert signatures(texts, 16, 7).tolist() == expected


@given(some_texts, some_texts)
@claim
def test_a_lexicon_numbers_and_hashes_the_tokens_it_knows_and_only_hashes_others(
    known: list[str], asked: list[str]
) -> None:
    lexicon = HashedLexicon("unicode")
    lexicon.numbered(known, learn=True)
    numbers = {token: number for number, token in enumerate(lexicon.lexicon.tokens(), 1)}
    assert lexicon.hashes[1:].tolist() == [hash32(token) for token in numbers]
    found = lexicon.numbered(asked, learn=False)
    tokens = [token for text in asked for token in tokenize(text)]
    assert found.numbers.tolist() == [numbers.get(token, 0) for token in tokens]
    assert found.hashes.tolist() == [hash32(token) for token in tokens]
    assert lexicon.lexicon.tokens() == list(numbers)


def test_ten_thousand_random_token_sets_have_the_signatures_of_datasketch() -> None:
    draw = random.Random(5)
    texts = [" ".join(f"w{draw.randrange(5_000)}" for _ in range(draw.randrange(30))) for _ in range(10_000)]
    signed = signatures(texts, 64, 1)
    blank = MinHash(num_perm=64)
    for text, signature in zip(texts, signed, strict=True):
        sketch = blank.copy()
        sketch.update_batch([token.encode() for token in text.split()])
        assert (signature == sketch.hashvalues).all()


def test_a_token_hashes_to_the_first_four_bytes_of_its_sha1() -> None:
    assert hashlib.sha1(b"abc").hexdigest()[:8] == "a9993e36"
    assert hash32("abc") == 0x363E99A9


def test_no_tokens_have_the_largest_value_everywhere() -> None:
    assert signatures([""], 3, 1).tolist() == [[4294967295, 4294967295, 4294967295]]


def test_repeats_and_order_do_not_change_a_signature() -> None:
    one, other = signatures(["a b c", "c b a b b"], 128, 1)
    assert (one == other).all()


def test_an_index_signs_texts_with_its_tokenizer_seed_and_num_perm() -> None:
    index = LSHIndex(tokenizer="rouge", num_perm=200, seed=9)
    text = "Write a POEM about über-spring, a poem!"
    expected = datasketch_of(tokenize(text, "rouge"), 200, 9).hashvalues
    assert (index.signatures([text])[0] == expected).all()
    index.add([text])  # known tokens and new ones take different ways to their hashes
    assert (index.signatures([text, "all other words"])[0] == expected).all()
    assert len(index) == 1


def test_texts_become_datasketch_objects_and_signatures_again() -> None:
    index = LSHIndex()
    texts = ["name three red fruits", "name three green fruits", ""]
    sketches = index.to_datasketch(texts)
    assert sketches == [datasketch_of(tokenize(text)) for text in texts]
    assert sketches[0].jaccard(sketches[1]) == pytest.approx(0.6, abs=0.12)
    assert from_datasketch(sketches).tolist() == index.signatures(texts).tolist()
    sketches[2].update(b"apple")  # they go on as datasketch's own do, apart from each other
    assert sketches[2] == datasketch_of(["apple"])
    assert from_datasketch([]).shape == (0, 0)


@pytest.mark.parametrize(
    ("sketches", "message"),
    [
        (
            [MinHash(), MinHash(seed=2)],
            "the MinHash objects differ in num_perm, seed or scheme; give those of one kind",
        ),
        (
            [MinHash(scheme="legacy")],
            "the MinHash objects have scheme 'legacy'; only 'affine32' (datasketch 2.x) is supported",
        ),
    ],
)
def test_objects_of_another_kind_are_refused(sketches: list[MinHash], message: str) -> None:
    with pytest.raises(InputError) as error:
        from_datasketch(sketches)
    assert str(error.value) == message
