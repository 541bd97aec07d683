"""Text classifiers of the Hugging Face hub, and of folders in its layout.

Shapes: B rows, T positions, C classes.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from maskwright.core.errors import UserError
from maskwright.models.pretrained.attention import shown_attention
from maskwright.models.pretrained.lengths import max_length
from maskwright.models.pretrained.opening import open_classifier


class PretrainedClassifier(nn.Module):
    """A model that `transformers.AutoModelForSequenceClassification` opens, in evaluation mode.

    It answers what an explanation asks of a task with labels, and of the encoder of one.

    Args:
        name: a name on the hub, a folder, or `pkg://package/folder`.
        mask_id: the id of the mask token, by which words are hidden.
    Raises:
        UserError: there is no such model, or it does not know the mask token.
    Attributes:
        names: (C,) of the classes; empty if the model predicts a value.
        max_length: the most positions of a row, special tokens included; None if there is no limit.
    """

    learns_from_counts: ClassVar[bool] = False

    def __init__(self, name: str, mask_id: int):
        super().__init__()
        self.model: Any = open_classifier(name).eval()
        if mask_id >= len(self.embedding.weight):
            raise UserError(
                f"'{name}' has no embedding of a mask token, which hides words, so its predictions cannot be "
                "explained."
            )
        config = self.model.config
        self._kind = config.problem_type or ("regression" if config.num_labels == 1 else "")
        is_value = self._kind == "regression"
        self.names = () if is_value else tuple(str(config.id2label[i]) for i in range(config.num_labels))
        self.max_length = max_length(self.model.base_model)

    @property
    def encoder(self) -> "PretrainedClassifier":
        return self

    @property
    def embedding(self) -> nn.Embedding:
        return self.model.get_input_embeddings()

    def attention_weights(self, input_ids: Tensor) -> list[Tensor]:
        return shown_attention(self.model, input_ids)

    def outputs(self, batch: dict[str, Tensor]) -> Tensor:
        """Returns the probability of each class (B, C), each for itself if a text may have several; or a value."""
        logits = self._logits(batch)
        if self._kind == "multi_label_classification":
            return logits.sigmoid()
        return logits.softmax(-1) if self.names else logits

    def decided(self, batch: dict[str, Tensor]) -> Tensor:
        """Returns the number of the most likely class (B,)."""
        return self._logits(batch).argmax(-1)

    @torch.enable_grad()
    def read_from(self, batch: dict[str, Tensor]) -> Tensor:
        """Returns how much the largest logit is read from each hidden state of the last layer, (B, T); sums are 1.

        Models pool them in ways of their own, so this is the share of the norm of the gradient.
        """
        held: list[Tensor] = []
        hooks = [
            self.embedding.register_forward_hook(lambda module, given, found: found.detach().requires_grad_()),
            self.model.base_model.register_forward_hook(lambda module, given, found: held.append(found[0])),
        ]
        try:
            largest = self._logits(batch).max(-1).values.sum()
        finally:
            for hook in hooks:
                hook.remove()
        norms = torch.autograd.grad(largest, held[0])[0].norm(dim=-1)
        return norms / norms.sum(1, keepdim=True)

    def _logits(self, batch: dict[str, Tensor]) -> Tensor:
        return self.model(input_ids=batch["input_ids"], attention_mask=batch.get("attention_mask")).logits.float()
