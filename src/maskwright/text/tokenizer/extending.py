"""Words that are added to a tokenizer as tokens of their own, and which words of a corpus these should be.

A word that a tokenizer cuts into n tokens saves n - 1 of them each time it occurs. Only where an added word stands
do texts get other tokens:

- In WordPiece, it is matched as a whole word, before the text is cut into words; not beside an underscore.
- In BPE, a word that the vocabulary holds is one token, whatever merges there are. (A token of the vocabulary that
  its merges never make, if there is one, is then used too.)
- In a unigram model, its score is just above that of the tokens in its place. A longer word that begins with it
  may have it as its first token, as it had the tokens in its place.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import tokenizers
from tokenizers import AddedToken, decoders, models

from maskwright.core.errors import UserError
from maskwright.text.tokenizer.extension import Extension
from maskwright.text.tokenizer.wrapper import Tokenizer, from_piece

_MARGIN = 1e-3  # by which the score of a word in a unigram model exceeds that of its tokens, for each that it saves
_NEVER = -1e6  # the score of what is no piece


def check_extensible(tokenizer: Tokenizer, name: str) -> None:
    """Checks that words can be added to a tokenizer.

    Raises:
        UserError: it was extended before, or is of a kind that cannot be.
    """
    if tokenizer.extension is not None:
        raise UserError(
            f"tokenizer.extend: {name} was extended before, by {len(tokenizer.extension.pieces):,} words. Leave it "
            "at 0, or start from a model that was not."
        )
    model = tokenizer.backend.model
    marked = isinstance(model, models.BPE) and (model.end_of_word_suffix or model.continuing_subword_prefix)
    if marked or not isinstance(model, models.WordPiece | models.BPE | models.Unigram):
        kind = "BPE with marks at the ends of words" if marked else type(model).__name__
        raise UserError(f"tokenizer.extend: {name} is {kind}, to which no words can be added. Leave it at 0.")


def extend(tokenizer: Tokenizer, texts: Iterable[Sequence[str]], number: int) -> Tokenizer:
    """Returns a tokenizer with the words of texts that save the most tokens; itself if no word would save any.

    Args:
        texts: in batches.
        number: at most so many words.
    """
    counts: Counter[tuple[int, ...]] = Counter()
    total = 0
    for batch in texts:
        for ids, starts in tokenizer.encode(batch):
            counts.update(_cut_words(ids, starts))
            total += len(ids)
    known = tokenizer.backend.get_vocab(with_added_tokens=True)
    unusable = {tokenizer.unk_id, *tokenizer.special_ids}
    savings = {
        _joined(tokenizer, pieces): (count * (len(pieces) - 1), pieces)
        for pieces, count in counts.items()
        if unusable.isdisjoint(pieces)
    }
    ranked = sorted((-saved, token, pieces) for token, (saved, pieces) in savings.items() if token not in known)
    while chosen := ranked[:number]:
        pieces = tuple(own for _, _, own in chosen)
        saved = -sum(negative for negative, _, _ in chosen)
        extension = Extension(len(tokenizer), pieces, tokenizer.digest, saved, total)
        found = _with_words(tokenizer, [token for _, token, _ in chosen], extension)
        kept = [own for number, own in enumerate(chosen) if _is_one(found, own[1], extension.first + number)]
        if len(kept) == len(chosen):
            return found
        ranked = kept + ranked[number:]
    return tokenizer


def _cut_words(ids: np.ndarray, starts: np.ndarray) -> Iterable[tuple[int, ...]]:
    """Yields the ids of each word of several tokens."""
    edges = np.append(np.flatnonzero(starts), len(ids))
    for number in np.flatnonzero(np.diff(edges) > 1):
        yield tuple(ids[edges[number] : edges[number + 1]].tolist())


def _joined(tokenizer: Tokenizer, pieces: Sequence[int]) -> str:
    """Returns the spelling of tokens as one token."""
    tokens = [tokenizer.backend.id_to_token(number) or "" for number in pieces]
    model: Any = tokenizer.backend.model
    if isinstance(model, models.WordPiece):
        return tokens[0] + "".join(token.removeprefix(model.continuing_subword_prefix) for token in tokens[1:])
    return "".join(tokens)


def _is_one(tokenizer: Tokenizer, token: str, number: int) -> bool:
    """Returns whether the text of an added token becomes this token alone."""
    text = token
    if not isinstance(tokenizer.backend.model, models.WordPiece):
        text = decoders.ByteLevel().decode([token]) if tokenizer.is_bytewise else (from_piece(token) or "").lstrip()
    return bool(text.strip()) and tokenizer.encode([text])[0][0].tolist() == [number]


def _with_words(tokenizer: Tokenizer, tokens: Sequence[str], extension: Extension) -> Tokenizer:
    """Returns a tokenizer with these tokens at the end of its vocabulary."""
    backend = tokenizers.Tokenizer.from_str(tokenizer.to_str())
    if isinstance(backend.model, models.WordPiece):
        words = [AddedToken(token, single_word=True, normalized=True, special=False) for token in tokens]
        backend.add_tokens(words)
    else:
        described = json.loads(tokenizer.to_str())
        model = described["model"]
        if model["type"] == "Unigram":
            _add_to_unigram(model, tokens, extension, backend)
        else:
            model["vocab"] |= {token: extension.first + number for number, token in enumerate(tokens)}
            model["ignore_merges"] = True
        backend = tokenizers.Tokenizer.from_str(json.dumps(described))
    return Tokenizer(backend, dict(tokenizer.special), extension)


def _add_to_unigram(
    model: dict[str, Any], tokens: Sequence[str], extension: Extension, backend: tokenizers.Tokenizer
) -> None:
    vocabulary = model["vocab"]
    scores = [score for _, score in vocabulary]
    # ids are places in the list; those of added tokens beyond it are filled with pieces that never win
    vocabulary += [[backend.id_to_token(i) or f"<{i}>", _NEVER] for i in range(len(vocabulary), extension.first)]
    for token, pieces in zip(tokens, extension.pieces, strict=True):
        vocabulary.append([token, sum(scores[piece] for piece in pieces) + _MARGIN * (len(pieces) - 1)])
