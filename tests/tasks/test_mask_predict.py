"""Mask-predict on models whose answers are known."""

import torch

from maskwright.tasks.mask_predict import mask_predict, places_of

MASK = 0


def table(steps):
    """A model that gives the n-th table of tokens and probabilities in its n-th call, and keeps what it is asked."""
    seen = []

    def predict(ids, positions):
        rows = steps[len(seen)]
        seen.append((ids.tolist(), positions.tolist()))
        logits = torch.full((*positions.shape, 10), -torch.inf)
        for row in range(len(ids)):
            for place, position in enumerate(positions[row].tolist()):
                if position in rows[row]:
                    token, probability = rows[row][position]
                    logits[row, place, token] = torch.tensor(probability).log()
        return logits

    return predict, seen


def test_each_iteration_masks_the_least_certain_tokens_again():
    """Four tokens in four iterations: 3, 2 and 1 of them are predicted again."""
    steps = [
        [{1: (5, 0.9), 2: (6, 0.2), 3: (7, 0.4), 4: (8, 0.3)}],
        [{2: (2, 0.8), 3: (3, 0.5), 4: (4, 0.6)}],  # the least certain are 2, 4 and 3
        [{3: (3, 0.7), 4: (9, 0.95)}],  # 3 and 4
        [{3: (1, 0.5)}],  # 3 again
    ]
    predict, seen = table(steps)
    free = torch.tensor([[False, True, True, True, True, False]])
    ids, certainty = mask_predict(predict, torch.tensor([[1, 0, 0, 0, 0, 2]]), free, MASK, 4)
    assert seen == [
        ([[1, 0, 0, 0, 0, 2]], [[1, 2, 3, 4]]),
        ([[1, 5, 0, 0, 0, 2]], [[2, 3, 4]]),
        ([[1, 5, 2, 0, 0, 2]], [[3, 4]]),
        ([[1, 5, 2, 0, 9, 2]], [[3]]),
    ]
    assert ids.tolist() == [[1, 5, 2, 1, 9, 2]]
    expected = torch.tensor([[1, 0.9, 0.8, 0.5, 0.95, 1]]).log()
    torch.testing.assert_close(certainty, expected)


def test_a_token_that_was_certain_is_masked_again_if_others_become_more_certain():
    steps = [
        [{0: (5, 0.6), 1: (6, 0.5), 2: (7, 0.4)}],
        [{1: (1, 0.9), 2: (2, 0.8)}],
        [{0: (4, 0.7)}],
    ]
    predict, seen = table(steps)
    ids, _ = mask_predict(predict, torch.zeros(1, 3, dtype=torch.long), torch.ones(1, 3).bool(), MASK, 3)
    assert [positions for _, positions in seen] == [[[0, 1, 2]], [[1, 2]], [[0]]]
    assert ids.tolist() == [[4, 1, 2]]


def test_rows_of_other_lengths_go_their_own_ways():
    """Of two iterations, a row of 3 tokens predicts 1 again, and a row of 1 token none."""
    steps = [
        [{1: (5, 0.9), 2: (6, 0.1), 3: (7, 0.5)}, {1: (8, 0.01)}],
        [{2: (4, 0.9)}, {}],
    ]
    predict, seen = table(steps)
    free = torch.tensor([[False, True, True, True], [False, True, False, False]])
    ids, certainty = mask_predict(predict, torch.tensor([[9, 0, 0, 0], [9, 0, 3, 3]]), free, MASK, 2)
    assert seen[1] == ([[9, 5, 0, 7], [9, 8, 3, 3]], [[2], [0]])
    assert ids.tolist() == [[9, 5, 4, 7], [9, 8, 3, 3]]
    torch.testing.assert_close(certainty[1], torch.tensor([0, 0.01, 1, 1]).log().nan_to_num(neginf=0))


def test_one_iteration_predicts_all_at_once():
    predict, seen = table([[{0: (5, 0.9), 1: (6, 0.1)}]])
    ids, _ = mask_predict(predict, torch.zeros(1, 2, dtype=torch.long), torch.ones(1, 2).bool(), MASK, 1)
    assert len(seen) == 1
    assert ids.tolist() == [[5, 6]]


def test_more_iterations_than_tokens_end_when_nothing_is_left():
    predict, seen = table([[{0: (5, 0.9), 1: (6, 0.1)}], [{1: (7, 0.2)}], [{1: (7, 0.3)}], [{1: (8, 0.4)}], [{}]])
    ids, _ = mask_predict(predict, torch.zeros(1, 2, dtype=torch.long), torch.ones(1, 2).bool(), MASK, 5)
    assert len(seen) == 3  # 2 (5 - 1) / 5 = 1.6, 2 (5 - 2) / 5 = 1.2, 2 (5 - 3) / 5 = 0.8
    assert ids.tolist() == [[5, 7]]


def test_places_are_in_order_and_padded():
    chosen = torch.tensor([[False, True, False, True], [False, False, True, False]])
    positions, valid = places_of(chosen)
    assert positions.tolist() == [[1, 3], [2, 0]]
    assert valid.tolist() == [[True, True], [True, False]]
