"""Weights from counts: which tokens stand next to each other, before any gradient.

A token between two others is predicted by the product of what each neighbour says of it. The log of how much more
often than by chance a token r follows a token l is a matrix (V, V), whose best approximation of rank R is a product
of two factors: what l says of its right neighbour, and what r is told by its left one (Levy and Goldberg, 2014, on
skip-grams). An embedding of 2 R channels holds both. With a convolution that takes the first half from the left
neighbour and the second half from the right one, and a head that exchanges the halves, the product of the two is
the logits of an output layer that shares the embedding: the encoder begins near the loss of neighbours instead of
that of single tokens.

Shapes: V vocabulary, H hidden size, R rank, B rows of T tokens.
"""

from collections.abc import Iterable
from typing import TypeGuard

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from maskwright.models.bigrams import BigramHead, Bigrams
from maskwright.models.encoder import Encoder
from maskwright.models.heads import MaskedLMHead
from maskwright.models.transformer.model import Transformer

# tokens whose neighbours are counted: more take longer and change little
MOST_TOKENS = 1 << 24
# how often a token was seen with neighbours as by chance, before it was counted: makes rare ones less surprising
_PRIOR = 1000.0
# of the random products that find the factors: those beyond the rank, and how often the matrix is applied to them
_SPARE, _PASSES = 16, 2
# of the exchange of halves in the head, so that most of it passes through GELU as through a line; and where counts
# are added to the logits, which say the same more exactly, with the first weight of the norm after it
_EXCHANGE = 0.5
_EXCHANGE_BESIDE_COUNTS, _GAIN_BESIDE_COUNTS = 0.1, 0.5


def begins_with_counts(encoder: Encoder) -> TypeGuard[Transformer]:
    """Whether `start_from_counts` is to be called for an encoder."""
    return isinstance(encoder, Transformer) and encoder.initial_embeddings == "cooccurrence"


def neighbour_counts(rows: Iterable[Tensor], vocabulary_size: int) -> sparse.csr_matrix:
    """Returns how often each token (row) is followed by each other (column), (V, V).

    Args:
        rows: ids (B, T), -1 at padding, in parts.
    """
    pairs, counts = [torch.zeros(0, dtype=torch.int64)], [torch.zeros(0, dtype=torch.int64)]
    for ids in rows:
        left, right = ids[:, :-1].long(), ids[:, 1:].long()
        own, number = (left * vocabulary_size + right)[(left >= 0) & (right >= 0)].unique(return_counts=True)
        pairs.append(own)
        counts.append(number)
    where = torch.cat(pairs).numpy()
    values = torch.cat(counts).numpy().astype(np.float32)
    size = (vocabulary_size, vocabulary_size)
    places = (where // vocabulary_size, where % vocabulary_size)
    return sparse.csr_matrix((values, places), size)  # adds up equal pairs


def factors(counts: sparse.csr_matrix, rank: int) -> tuple[Tensor, Tensor]:
    """Returns factors (V, R) each, whose product is about how likely tokens (columns) follow others (rows).

    It approximates log (c + p u) / ((n + p) u), for a pair's count c, its first token's count n, its second token's
    share u of all, and p, `_PRIOR`; errors weigh as much as both tokens are frequent. Those of tokens that were not
    counted are 0. The method is the randomised one of Halko et al. (2011).
    """
    first, second = (np.asarray(counts.sum(axis)).ravel() for axis in (1, 0))
    share = (second + 1) / (second.sum() + len(second))
    weight = np.sqrt(np.maximum(first, second) + 1)
    weight = (weight / np.sqrt((weight**2).sum())).astype(np.float32)
    rows, columns = counts.nonzero()
    surprise = np.log1p(counts.data / (_PRIOR * share[columns])) * weight[rows] * weight[columns]
    seen = sparse.csr_matrix((surprise.astype(np.float32), counts.indices, counts.indptr), counts.shape)
    unseen = (weight * np.log(_PRIOR / (first + _PRIOR)))[:, None].astype(np.float32)  # of pairs, by first token

    def times(right: np.ndarray) -> np.ndarray:
        return seen @ right + unseen @ (weight[None] @ right)

    def transposed_times(left: np.ndarray) -> np.ndarray:
        return seen.T @ left + weight[:, None] @ (unseen.T @ left)

    random = np.random.default_rng(0).standard_normal((len(share), rank + _SPARE), np.float32)
    basis = np.linalg.qr(times(random))[0]
    for _ in range(_PASSES):
        basis = np.linalg.qr(times(transposed_times(basis)))[0]
    left, values, right = np.linalg.svd(transposed_times(basis).T, full_matrices=False)
    left = basis @ left
    sign = np.sign(left[np.abs(left).argmax(0), np.arange(left.shape[1])])  # else it is up to the library
    scale = sign[:rank] * np.sqrt(values[:rank]) / weight[:, None]
    known = ((first > 0) | (second > 0))[:, None]
    return (
        torch.from_numpy(left[:, :rank] * scale * known),
        torch.from_numpy(right[:rank].T * scale * known),
    )


@torch.no_grad()
def start_from_counts(
    encoder: Transformer, head: MaskedLMHead | None, counts: sparse.csr_matrix, special: np.ndarray | None = None
) -> None:
    """Sets the embeddings, the convolution and the head of a new encoder so that it predicts from neighbours.

    Args:
        head: for masked tokens, on the hidden states of the encoder; None if there is none.
        counts: (V, V), see `neighbour_counts`; if there are none, the weights stay as they are.
        special: (V,) bool, tokens that are never predicted, such as [SEP]; None for none.
    """
    if not counts.nnz:
        return
    weight = encoder.embedding.weight
    size = weight.shape[1]
    half = size // 2
    rank = min(half, len(weight))
    weight.zero_()
    weight[:, :rank], weight[:, half : half + rank] = factors(counts, rank)
    # the hidden state after a layer norm has a norm of sqrt(H), instead of that of the neighbours' rows
    often = torch.from_numpy(np.asarray(counts.sum(0)).ravel())
    share = often / often.sum()
    weight *= (weight.square().sum(1) @ share).sqrt() / size**0.5
    # the mask token among them; behind a layer norm, the gradient of zeros would be hundreds of times as large
    weight[weight.eq(0).all(1)] = share @ weight
    if encoder.convolution is not None:
        before, after = encoder.convolution.neighbour(-1), encoder.convolution.neighbour(1)
        before[:half], before[half:] = 1.0, 0.0
        after[:half], after[half:] = 0.0, 1.0
    if head is not None:
        beside_counts = isinstance(head, BigramHead)
        if beside_counts:
            head.norm.weight.fill_(_GAIN_BESIDE_COUNTS)
        exchange = _EXCHANGE_BESIDE_COUNTS if beside_counts else _EXCHANGE
        head.dense.weight.copy_(exchange * torch.eye(size).roll(half, 0))
        logs = ((often if special is None else often * torch.from_numpy(~special)) + 1).log()
        head.decoder.bias.copy_(logs - logs.mean())


def fill(
    bigrams: Bigrams, counts: sparse.csr_matrix, special: np.ndarray | None = None, counted: float = 1.0
) -> None:
    """Sets what counts say in the logits.

    Args:
        counts: (V, V), see `neighbour_counts`.
        special: (V,) bool, tokens that are never predicted; None for none.
        counted: the share of the training split that was counted.
    """
    often = np.asarray(counts.sum(0)).ravel()
    predicted = np.ones(len(often), np.float32) if special is None else (~special).astype(np.float32)
    often = often * predicted
    chance = (_PRIOR * (often + 1) / (often.sum() + len(often))).astype(np.float32)
    bigrams.chance = torch.from_numpy(chance).to(bigrams.chance.device)
    bigrams.counted.fill_(counted)
    for table, own in ((bigrams.left, counts), (bigrams.right, counts.T)):
        kept = (own @ sparse.diags(predicted)).tocsr()
        kept.eliminate_zeros()
        kept.sort_indices()
        table.fill(kept.indptr, kept.indices, np.log1p(kept.data / chance[kept.indices]))
