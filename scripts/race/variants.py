"""Changes to the fast recipe that may help, for `recipe.py`; those that do are in `src/maskwright`."""

from contextlib import nullcontext
from functools import partial
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from lightning import Callback
from torch import Tensor, nn

from maskwright.data.loader import Batched
from maskwright.data.packed import TextData
from maskwright.masking import Masked
from maskwright.models import heads
from maskwright.models.layers import cross_entropy
from maskwright.models.layers.attention_mask import AttentionMask
from maskwright.models.layers.convolution import Convolution
from maskwright.models.layers.gather import gather
from maskwright.models.layers.linear import StackedLinear
from maskwright.models.layers.rotary import turned_by_operations
from maskwright.models.transformer import layers as layers_of_transformer
from maskwright.models.transformer.layers import Attention, FeedForward
from maskwright.models.transformer.model import Transformer
from maskwright.tasks import task


class Variant(Transformer):
    """The transformer with any of these changes.

    Args:
        activation: `geglu`, `swiglu`, or `relu2`, the squared ReLU without a gate (So et al., 2021).
        skips: hidden states of the first half are added in the second half, as in a U-net.
        embedding_scale: factor on the normalised embeddings.
        zero_output: whether projections into the residual stream start at zero.
        drop: share of the tokens, drawn at random, that only the first and the last layer see in training
            (Hou et al., 2022).
        convolutions: reach of a convolution before the attention of each layer, beside that of the embeddings.
        rotary_share: share of the channels of a head that are turned by their position.
        groups: heads that share a key and a value (Ainslie et al., 2023).
        pairs: rows of a table to which pairs of neighbours are hashed, whose rows are added to the embeddings; 0
            has none. Pairs are the two before, the two after, and the two on both sides. Rows start at zero.
    Attributes:
        shallow: whether only the first and the last layer are used.
    """

    def __init__(
        self,
        *args: Any,
        activation: str = "geglu",
        skips: bool = False,
        embedding_scale: float = 1.0,
        zero_output: bool = False,
        drop: float = 0.0,
        convolutions: int = 0,
        rotary_share: float = 1.0,
        groups: int = 1,
        pairs: int = 0,
        **kwargs: Any,
    ):
        super().__init__(*args, **kwargs)
        self.drop, self.embedding_scale, self.rotary_share = drop, embedding_scale, rotary_share
        self.pairs = nn.Embedding(pairs, self.hidden_size) if pairs else None
        self.shallow = False
        layers: list[Any] = list(self.layers)
        for layer in layers:
            attention, feed_forward = layer.attention, layer.feed_forward
            attention.__class__ = VariantAttention
            attention.convolution = Convolution(self.hidden_size, convolutions) if convolutions else None
            attention.groups = groups
            if groups > 1:  # what computes queries, keys and values has queries alone
                attention.query_key_value = nn.Linear(self.hidden_size, self.hidden_size, bias=False)
                attention.key_value = StackedLinear(self.hidden_size, self.hidden_size // groups, stacked=2)
            if activation != "geglu":
                feed_forward.__class__ = {"swiglu": SwiGLU, "relu2": SquaredReLU}[activation]
            if activation == "relu2":  # as many weights without a gate
                width = round(feed_forward.output.in_features * 1.5)
                feed_forward.input = nn.Linear(self.hidden_size, width, bias=False)
                feed_forward.output = nn.Linear(width, self.hidden_size, bias=False)
        self.skip_weights = nn.Parameter(torch.zeros(len(layers) // 2)) if skips else None
        self._initialise(kwargs["initial_std"])
        for layer in layers:
            if zero_output:
                nn.init.zeros_(layer.attention.output.weight)
                nn.init.zeros_(layer.feed_forward.output.weight)
        if self.pairs is not None:
            nn.init.zeros_(self.pairs.weight)

    def embed(
        self, input_ids: Tensor, attention_mask: AttentionMask = None, token_types: Tensor | None = None
    ) -> Tensor:
        hidden = self.embedding_norm(self.embedding(input_ids)) * self.embedding_scale
        if self.convolution is not None:
            hidden = self.convolution(hidden, attention_mask)
        if self.pairs is not None:
            beside = {shift: input_ids.roll(shift, 1) for shift in (2, 1, -1, -2)}
            for number, (one, other) in enumerate(((2, 1), (1, -1), (-1, -2))):
                hashed = (beside[one] * 1_000_003 + beside[other]) * 3 + number
                hidden = hidden + self.pairs(hashed * 2_654_435_761 % 4_294_967_291 % self.pairs.num_embeddings)
        return hidden

    def _rotary(self, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
        cosine, sine = super()._rotary(length, device)
        still = round(cosine.shape[-1] * self.rotary_share)  # the slower angles from here on
        cosine[..., still:], sine[..., still:] = 1.0, 0.0
        return cosine, sine

    def _encode(
        self,
        hidden_BTH: Tensor,
        attention_mask: Any = None,
        positions: Tensor | None = None,
        token_types: Tensor | None = None,
        late: Tensor | None = None,
        packed: bool = True,
    ) -> Tensor:
        hidden = hidden_BTH
        if attention_mask is not None:  # for the padded last block of the validation split
            attention_mask = attention_mask[:, None, None]
        rotary = whole_rotary = self._rotary(hidden.shape[1], hidden.device)
        layers, first_value = list(self.layers), None
        seen: list[Tensor] = []
        if self.shallow:
            layers = [layers[0], layers[-1]]
        for number, layer in enumerate(layers):
            mirror = len(layers) - 1 - number
            if self.skip_weights is not None and number > mirror:
                hidden = hidden + self.skip_weights[mirror] * seen[mirror]
            if self.drop and self.training and number == 1:
                whole, shape = hidden, hidden.shape[:2]
                kept = torch.rand(shape).argsort(dim=1)[:, : round(shape[1] * (1 - self.drop))].sort(dim=1).values
                index = kept[..., None].expand(-1, -1, hidden.shape[-1])
                hidden, rotary = hidden.gather(1, index), (rotary[0][kept], rotary[1][kept])
            if self.drop and self.training and number == len(layers) - 1:
                hidden, rotary = whole.scatter(1, index, hidden), whole_rotary
            hidden, value = layer(hidden, rotary, attention_mask, first_value, positions if mirror == 0 else None)
            first_value = value if first_value is None and not self.drop else first_value
            seen.append(hidden)
        return self.final_norm(hidden)


class VariantAttention(Attention):
    """The attention of a `Variant`, which sets these."""

    convolution: Convolution | None
    groups: int
    key_value: StackedLinear  # with more than one group

    def forward(self, hidden_BTH: Tensor, *arguments: Any) -> tuple[Tensor, Tensor]:
        if self.convolution is not None:
            hidden_BTH = self.convolution(hidden_BTH, None)
        return super().forward(hidden_BTH, *arguments)

    def _project(self, hidden_BTH: Tensor, positions: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        if self.groups == 1:
            return super()._project(hidden_BTH, positions)
        query = self.query_key_value(hidden_BTH if positions is None else gather(hidden_BTH, positions))
        others = self.key_value(hidden_BTH).unflatten(-1, (2, self.heads // self.groups, -1))
        key, value = others.repeat_interleave(self.groups, 3).unbind(2)
        return query.unflatten(-1, (self.heads, -1)), key, value


class SwiGLU(FeedForward):
    def forward(self, hidden_BTH: Tensor) -> Tensor:
        activated, gate = self.input(hidden_BTH).chunk(2, dim=-1)
        return self.output(F.silu(activated) * gate)


class SquaredReLU(FeedForward):
    def forward(self, hidden_BTH: Tensor) -> Tensor:
        positive = F.relu(self.input(hidden_BTH))
        return self.output(positive * positive)


class EasyFirst(TextData):
    """Trains on blocks of frequent tokens first: the first half of the run uses a growing, easier part of them."""

    def train_dataloader(self) -> Any:
        blocks, counts = self.blocks["train"], self.tokens["train"].counts
        rarity = -np.log((counts + 1) / counts.sum())
        ranked = np.argsort([rarity[blocks.read(np.array([b]))["input_ids"]].mean() for b in range(len(blocks))])
        assert self.trainer is not None
        total = self.trainer.max_steps * self.batch_size
        loader = super().train_dataloader()
        order = cast(Batched, loader.dataset)

        class Curriculum:
            def __getitems__(self, positions: np.ndarray) -> dict[str, np.ndarray]:
                part = min(0.25 + 1.5 * positions[0] / total, 1.0)
                batch = order.__getitems__(positions)
                easy = (batch["examples"] * part).astype(np.int64)  # spread over the easier part
                found = blocks.read(ranked[easy]) | {"examples": ranked[easy], "epochs": batch["epochs"]}
                return found

        return self.loader(Curriculum(), loader.batch_sampler, self._collate)  # type: ignore[arg-type]


class OneDNN(torch.autograd.Function):
    """x W', with the forward product and the gradient of x computed by oneDNN, and the gradient of W by MKL."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        of_x = torch.ops.mkldnn._linear_pointwise(gradient, weight.t(), None, "none", [], "")
        return of_x, gradient.t() @ x


def product_by_onednn(weight: Tensor, x: Tensor) -> Tensor:
    """x W' of inputs with any number of dimensions."""
    return OneDNN.apply(x.flatten(0, -2), weight).view(*x.shape[:-1], -1)


def three_products(layer: Attention, hidden: Tensor, positions: Tensor | None) -> tuple[Tensor, ...]:
    """`Attention._project` with separate products for queries, keys and values."""
    inputs = (hidden if positions is None else gather(hidden, positions), hidden, hidden)
    weights = layer.query_key_value.weight.chunk(3)
    return tuple(
        F.linear(x, weight).unflatten(-1, (layer.heads, -1)) for x, weight in zip(inputs, weights, strict=True)
    )


def replace_products(encoder: nn.Module, what: str) -> None:
    """Changes the layers of an encoder for `onednn` and `three_products`, see `Patch`."""
    linear: list[Any] = [layer for layer in encoder.modules() if isinstance(layer, nn.Linear)]
    attention: list[Any] = [layer for layer in encoder.modules() if isinstance(layer, Attention)]
    for layer in linear if what == "onednn" else ():
        layer.forward = partial(product_by_onednn, layer.weight)
    for layer in attention if what == "three_products" else ():
        layer._project = partial(three_products, layer)


class Patch(Callback):
    """A change of the training step.

    Args:
        what: `all_positions` (the vocabulary projection sees every position), `plain_loss` (the logits of
            all masked positions at once), `whole_last_layer` (computed at all positions), `softcap` (logits
            are held within 15 by tanh), `rows`, `length` and `layers` (in the first `until` of the run, half the
            blocks of a step, blocks cut in two, or the first and the last layer of a `Variant`), `not_fused`
            (AdamW of separate operations), `average` (validation sees a moving average of the weights, over about
            one in `until` of the steps done so far), `flush_denormals`, `three_products` (queries, keys and values
            by a product each), `onednn` (forward products and gradients of inputs by oneDNN instead of MKL),
            `plain_rotary` (gradients of queries and keys by those of each operation), `plain_attention` (PyTorch's
            gradients of attention, which differ in bfloat16), or `plain_argmax` (PyTorch's argmax of the logits).
    """

    def __init__(self, what: str, until: float = 0.3):
        self.what, self.until = what, until

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        head = pl_module.head
        if self.what == "softcap":
            forward = head.forward
            head.forward = lambda hidden: 15 * torch.tanh(forward(hidden) / 15)

        def loss(hidden: Tensor, targets: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
            value = F.cross_entropy(head(hidden).flatten(0, 1), targets.where(valid, -100).flatten())
            return value, torch.zeros_like(valid)

        loss_of_head = head.loss

        def loss_everywhere(hidden: Tensor, targets: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
            nowhere = torch.zeros(hidden.shape[:2], dtype=torch.int64)
            everywhere = [nowhere.to(own.dtype).scatter(1, self.positions, own) for own in (targets, valid)]
            return loss_of_head(hidden, *everywhere)[0], torch.zeros_like(valid)

        def everywhere(batch: dict[str, Tensor], masked: Masked) -> Tensor:
            self.positions = masked.positions
            return pl_module.token_encoder(masked.input_ids, pl_module.attention_mask(batch))

        if self.what == "all_positions":
            pl_module._hidden, head.loss = everywhere, loss_everywhere
        if self.what == "whole_last_layer":
            pl_module._hidden = lambda batch, masked: gather(everywhere(batch, masked), masked.positions)
        if self.what == "plain_loss":
            heads.CHUNK_CPU = 2**31
        if self.what == "softcap":
            head.loss = loss
        if self.what == "plain_rotary":
            layers_of_transformer.turned = turned_by_operations
        if self.what == "plain_attention":
            task.attention_gradients = lambda *_: nullcontext()
        if self.what == "plain_argmax":
            cross_entropy._argmax = lambda x_CV: x_CV.argmax(-1)
        replace_products(pl_module.encoder, self.what)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        if self.what == "flush_denormals":
            torch.set_flush_denormal(True)
        if self.what == "not_fused":
            for group in trainer.optimizers[0].param_groups:
                group["fused"] = False
        if self.what == "average":
            share = self.until
            pl_module.__dict__["averaged_model"] = torch.optim.swa_utils.AveragedModel(
                pl_module,
                avg_fn=lambda mean, new, count: mean.lerp(new, min(share / (float(count) + 1), 1.0)),
            )

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: dict[str, Tensor], batch_idx: int) -> None:
        begins = trainer.global_step < self.until * trainer.max_steps
        if self.what == "layers":
            pl_module.encoder.shallow = begins
        if not begins:
            return
        if self.what == "rows":
            for name, tensor in batch.items():
                batch[name] = tensor[: len(tensor) // 2]
        elif self.what == "length":
            for name, tensor in batch.items():
                batch[name] = (
                    tensor.reshape(2 * len(tensor), -1) if tensor.ndim == 2 else tensor.repeat_interleave(2)
                )

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        if self.what == "average":
            pl_module.averaged_model.update_parameters(pl_module)
