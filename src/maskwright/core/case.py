"""The case of words."""

from enum import IntEnum


class Case(IntEnum):
    """The case of a word."""

    NO_LETTERS = 0
    LOWER = 1
    FIRST = 2  # the first letter is a capital, but not all are
    CAPITALS = 3  # several letters, all capitals
    OTHER = 4  # a capital inside

    @classmethod
    def of(cls, word: str) -> "Case":
        letters = [letter for letter in word if letter.isalpha()]
        if not letters:
            return cls.NO_LETTERS
        if not any(letter.isupper() for letter in letters):
            return cls.LOWER
        if len(letters) > 1 and all(letter.isupper() for letter in letters):
            return cls.CAPITALS
        return cls.FIRST if letters[0].isupper() else cls.OTHER
