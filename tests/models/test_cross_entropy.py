import pytest
import torch
import torch.nn.functional as F

from maskwright.models import MaskedLMHead
from maskwright.models.layers.cross_entropy import _argmax, linear_cross_entropy


def inputs(rows=37, hidden=8, vocabulary=19, dtype=torch.float64):
    torch.manual_seed(0)
    made = [torch.randn(rows, hidden), torch.randn(vocabulary, hidden), torch.randn(vocabulary)]
    tensors = [tensor.to(dtype).requires_grad_() for tensor in made]
    return *tensors, torch.randint(vocabulary, (rows,)), torch.rand(rows) < 0.7


def plain(hidden, weight, bias, targets, valid):
    logits = F.linear(hidden, weight, bias)
    loss = F.cross_entropy(logits, targets.where(valid, -100), ignore_index=-100)
    return loss, logits.argmax(-1) == targets


@pytest.mark.skipif(
    not hasattr(F, "linear_cross_entropy"),
    reason="torch.nn.functional.linear_cross_entropy is younger than this torch",
)
@pytest.mark.parametrize("in_chunks", [False, True])
def test_cross_entropy_equals_that_of_torch(in_chunks):
    options = torch.nn.LinearCrossEntropyOptions() if in_chunks else None
    *tensors, targets, valid = inputs()
    hidden, weight, bias = tensors
    assert not valid.all()
    expected = F.linear_cross_entropy(
        hidden, weight, targets.where(valid, -100), linear_bias=bias, ignore_index=-100, options=options
    )
    expected.backward()
    gradients = [tensor.grad.clone() for tensor in tensors]
    for tensor in tensors:
        tensor.grad = None
    loss, _ = linear_cross_entropy(*tensors, targets, valid, 8)
    loss.backward()
    torch.testing.assert_close(loss, expected)
    for tensor, gradient in zip(tensors, gradients, strict=True):
        torch.testing.assert_close(tensor.grad, gradient)


@pytest.mark.parametrize("chunk", [1, 5, 37, 1000])
def test_loss_and_gradients_equal_those_of_all_logits_at_once(chunk):
    *tensors, targets, valid = inputs()
    expected, expected_right = plain(*tensors, targets, valid)
    (3 * expected).backward()
    gradients = [tensor.grad.clone() for tensor in tensors]
    for tensor in tensors:
        tensor.grad = None
    loss, right = linear_cross_entropy(*tensors, targets, valid, chunk)
    (3 * loss).backward()
    assert torch.allclose(loss, expected, rtol=1e-12)
    assert torch.equal(right, expected_right)
    for tensor, gradient in zip(tensors, gradients, strict=True):
        assert torch.allclose(tensor.grad, gradient, rtol=1e-10, atol=1e-14)


def test_a_batch_without_targets_has_loss_and_gradients_of_zero():
    *tensors, targets, valid = inputs()
    loss, _ = linear_cross_entropy(*tensors, targets, torch.zeros_like(valid), 8)
    loss.backward()
    assert loss == 0
    assert all((tensor.grad == 0).all() for tensor in tensors)


def test_loss_of_no_positions_is_zero():
    hidden, weight, bias, _, _ = inputs(rows=0)
    nothing = torch.zeros(0, dtype=torch.long)
    loss, right = linear_cross_entropy(hidden, weight, bias, nothing, nothing.bool(), 8)
    loss.backward()
    assert loss == 0
    assert right.shape == (0,)


def test_products_in_half_precision_stay_close():
    hidden, weight, bias, targets, valid = inputs(dtype=torch.float32)
    expected, _ = plain(hidden, weight, bias, targets, valid)
    expected.backward()
    gradient, weight.grad = weight.grad.clone(), None
    loss, _ = linear_cross_entropy(hidden.bfloat16(), weight, bias, targets, valid, 8)
    loss.backward()
    assert loss.dtype == weight.grad.dtype == torch.float32
    assert abs(loss - expected) < 0.02 * expected
    assert (weight.grad - gradient).norm() < 0.02 * gradient.norm()


def test_float16_keeps_the_gradients_of_many_unlikely_tokens():
    """Each is smaller than what float16 can tell from 0, before a loss scale is applied."""
    hidden, weight, bias, targets, _ = inputs(rows=1000, vocabulary=40_000, dtype=torch.float32)
    valid = torch.ones_like(targets, dtype=torch.bool)
    with torch.no_grad():
        weight.mul_(0.1).add_(1)  # so that their mean, towards which the unlikely ones push, is not 0
        bias.zero_()
    expected, _ = plain(hidden, weight, bias, targets, valid)
    expected.backward()
    gradients = [tensor.grad.clone() for tensor in (hidden, weight, bias)]
    for tensor in (hidden, weight, bias):
        tensor.grad = None
    with torch.autocast("cpu", torch.float16):
        loss, _ = linear_cross_entropy(hidden, weight, bias, targets, valid, 256)
    (1024 * loss).backward()
    for tensor, gradient in zip((hidden, weight, bias), gradients, strict=True):
        assert (tensor.grad / 1024 - gradient).norm() < 0.005 * gradient.norm()


def test_products_use_the_autocast_type_although_norms_do_not():
    tensors = inputs(dtype=torch.float32)
    exact, _ = linear_cross_entropy(*tensors, 8)
    with torch.autocast("cpu", torch.bfloat16):
        low, _ = linear_cross_entropy(*tensors, 8)
    with torch.autocast("cpu", torch.bfloat16):
        wide, _ = linear_cross_entropy(
            tensors[0].double(), tensors[1].double(), tensors[2].double(), *tensors[3:], 8
        )
    assert low.dtype == torch.float32
    assert 0 < abs(low - exact) < 0.02 * exact
    assert wide.dtype == torch.float64
    assert abs(wide - exact) < 1e-5 * exact


@pytest.mark.parametrize("frozen", [0, 1, 2])
def test_frozen_inputs_get_no_gradient_and_the_others_do(frozen):
    *tensors, targets, valid = inputs()
    linear_cross_entropy(*tensors, targets, valid, 8)[0].backward()
    expected = [tensor.grad.clone() for tensor in tensors]
    *tensors, targets, valid = inputs()
    tensors[frozen].requires_grad = False
    linear_cross_entropy(*tensors, targets, valid, 8)[0].backward()
    for number, (tensor, gradient) in enumerate(zip(tensors, expected, strict=True)):
        assert tensor.grad is None if number == frozen else torch.equal(tensor.grad, gradient)


def test_the_loss_of_a_head_equals_that_of_its_logits():
    torch.manual_seed(0)
    embedding = torch.nn.Embedding(300, 16)
    head = MaskedLMHead(embedding, initial_std=0.3)
    hidden = torch.randn(7, 20, 16, requires_grad=True)
    targets, valid = torch.randint(300, (7, 20)), torch.rand(7, 20) < 0.8
    logits = head(hidden)
    expected = F.cross_entropy(logits[valid], targets[valid])
    expected.backward()
    gradients = [hidden.grad.clone(), *(p.grad.clone() for p in head.parameters())]
    hidden.grad = None
    head.zero_grad()
    loss, right = head.loss(hidden, targets, valid)
    loss.backward()
    assert torch.allclose(loss, expected, rtol=1e-5)
    assert torch.equal(right, logits.argmax(-1) == targets)
    for found, gradient in zip([hidden.grad, *(p.grad for p in head.parameters())], gradients, strict=True):
        assert torch.allclose(found, gradient, rtol=1e-4, atol=1e-7)


def test_evaluation_keeps_nothing_for_a_backward_pass():
    *tensors, targets, valid = inputs()
    with torch.no_grad():
        loss, _ = linear_cross_entropy(*tensors, targets, valid, 8)
    assert not loss.requires_grad
    assert torch.allclose(loss, plain(*tensors, targets, valid)[0])


@pytest.mark.parametrize("chunk", [5, 1000])
def test_smoothed_targets_are_those_of_torch(chunk):
    *tensors, targets, valid = inputs()
    hidden, weight, bias = tensors
    logits = F.linear(hidden, weight, bias)
    expected = F.cross_entropy(logits[valid], targets[valid], label_smoothing=0.1)
    (2 * expected).backward()
    gradients = [tensor.grad.clone() for tensor in tensors]
    for tensor in tensors:
        tensor.grad = None
    loss, right = linear_cross_entropy(*tensors, targets, valid, chunk, smoothing=0.1)
    (2 * loss).backward()
    torch.testing.assert_close(loss, expected)
    assert torch.equal(right, logits.argmax(-1) == targets)
    for tensor, gradient in zip(tensors, gradients, strict=True):
        torch.testing.assert_close(tensor.grad, gradient)


@pytest.mark.parametrize("vocabulary_size", [5, 128, 300, 1024])
def test_the_largest_logit_is_the_first_one_of_equal_ones(vocabulary_size):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randint(20, (200, vocabulary_size), generator=generator).float()  # most have equals
    logits[0] = float("-inf")
    torch.testing.assert_close(_argmax(logits), logits.argmax(-1))
