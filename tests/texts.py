"""Texts made of a seed. Processes that tests start import this alone, which takes no time."""

import random

_SUBJECTS = [
    "the old sailor",
    "a young painter",
    "the river",
    "my neighbour",
    "every student",
    "the quiet library",
]
_VERBS = ["remembers", "crosses", "describes", "admires", "forgets", "follows"]
_OBJECTS = [
    "the distant mountains",
    "an unfinished letter",
    "the harbour at night",
    "a well-known song",
    "its own shadow",
]
_ENDS = ["without a word", "before the winter", "in 1984", "with great care, they say", "again and again"]


def make_text(seed: int, sentences: int = 12) -> str:
    """Returns a document of simple sentences, which depends on the seed alone."""
    draw = random.Random(seed)
    return " ".join(
        f"{draw.choice(_SUBJECTS)} {draw.choice(_VERBS)} {draw.choice(_OBJECTS)} {draw.choice(_ENDS)}.".capitalize()
        for _ in range(sentences)
    )
