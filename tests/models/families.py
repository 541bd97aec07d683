"""A tiny model of each family of encoders that `transformers` offers, and a row of a table about it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES
from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES

from maskwright.core.errors import UserError
from maskwright.models import Pretrained, masked_lm_head
from maskwright.models.pretrained.head import PretrainedHead
from tests.models.family_tasks import TASKS, VOCABULARY, Tasks

# families without a head for masked tokens in transformers, and examples of what is refused
WITHOUT_HEAD = (
    "bert-generation layoutlmv3 lilt markuplm openai_privacy_filter splinter tipsv2_text_model xlnet".split()
)
REFUSED = "bros canine clip_text_model dpr gpt2 llama lxmert modernbert-decoder t5 visual_bert vit".split()
FAMILIES = [*MODEL_FOR_MASKED_LM_MAPPING_NAMES, *WITHOUT_HEAD, *REFUSED]

# every name that configs have for a size, and a small value for it
_SMALL: dict[str, Any] = {
    **{"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2},
    **{"intermediate_size": 48, "max_position_embeddings": 64, "pad_token_id": 0, "bos_token_id": 2},
    **{"eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3, "type_vocab_size": 2, "d_model": 32, "dim": 32},
    **{"n_layers": 2, "n_heads": 2, "hidden_dim": 48, "n_layer": 2, "n_head": 2, "emb_dim": 32},
    **{"num_key_value_heads": 2, "embedding_size": 16, "d_inner": 48, "d_head": 16, "encoder_layers": 2},
    **{"decoder_layers": 2, "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 48},
    **{"decoder_ffn_dim": 48, "num_layers": 2, "d_ff": 48, "d_kv": 16, "num_heads": 2, "n_positions": 64},
}
_VISION = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
_OWN: dict[str, dict[str, Any]] = {
    "canine": {"num_hash_buckets": 32},
    "layoutlm": {"max_2d_position_embeddings": 16},
    "layoutlmv3": {"max_2d_position_embeddings": 16, "coordinate_size": 6, "shape_size": 4},
    "lilt": {"max_2d_position_embeddings": 16, "hidden_size": 48, "channel_shrink_ratio": 2},
    "longformer": {"attention_window": [8, 8]},
    "luke": {"entity_vocab_size": 10, "entity_emb_size": 8},
    "markuplm": {"max_depth": 4, "xpath_unit_hidden_size": 4, "max_xpath_tag_unit_embeddings": 8}
    | {"max_xpath_subs_unit_embeddings": 8, "tag_pad_id": 7, "subs_pad_id": 7},
    "mobilebert": {"intra_bottleneck_size": 16, "true_hidden_size": 16},
    "perceiver": {"num_latents": 8, "d_latents": 16, "d_model": 16, "num_blocks": 1}
    | {"num_self_attends_per_block": 1, "qk_channels": 16, "v_channels": 16},
    "rembert": {"input_embedding_size": 16, "output_embedding_size": 16},
    "roc_bert": {"pronunciation_vocab_size": 10, "shape_vocab_size": 10},
    "squeezebert": {"embedding_size": 32},
    "tapas": {"type_vocab_sizes": [3, 4, 4, 2, 4, 4, 4]},
    "xmod": {"default_language": "en_XX"},
}
_ALONE: dict[str, dict[str, Any]] = {  # configs that the general names do not fit
    "funnel": {"block_sizes": [1, 1], "n_head": 2, "d_model": 32, "d_head": 16, "d_inner": 48, "pad_token_id": 0}
    | {"vocab_size": VOCABULARY, "num_decoder_layers": 1},
    "reformer": {"vocab_size": VOCABULARY, "hidden_size": 32, "feed_forward_size": 48, "num_attention_heads": 2}
    | {"attention_head_size": 16, "attn_layers": ["local", "lsh"], "max_position_embeddings": 64, "hash_seed": 0}
    | {"axial_pos_shape": [8, 8], "axial_pos_embds_dim": [16, 16], "local_attn_chunk_length": 4, "num_buckets": 2}
    | {"lsh_attn_chunk_length": 4, "is_decoder": False, "pad_token_id": 0},
    "xlnet": {"vocab_size": VOCABULARY, "d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 48, "pad_token_id": 0},
}


@dataclass(frozen=True)
class Row:
    """What the table says about a family.

    Attributes:
        family: the type of the model, as in its config.json.
        head: whether it has its own head for masked tokens.
        tokenizer: what its tokenizer is, see `tokenizer_of`.
        refused: why it is refused; None if it works.
    """

    family: str
    head: bool = False
    tokenizer: str = ""
    refused: str | None = None

    def __str__(self) -> str:
        if self.refused:
            return f"| `{self.family}` | no: {self.refused} | | |"
        return f"| `{self.family}` | yes | {'its own' if self.head else 'a new one'} | {self.tokenizer} |"


def tiny_config(family: str) -> Any:
    """Returns the configuration of a tiny model."""
    kind = CONFIG_MAPPING[family]
    if family in _ALONE:
        return kind(**_ALONE[family])
    if family in ("modernvbert", "ultravbert"):
        text = tiny_config(family.replace("vb", "b") if family == "ultravbert" else "modernbert").to_dict()
        vision = {**_VISION, "image_size": 32, "patch_size": 16}
        return kind(text_config=text, vision_config=vision, image_token_id=5)
    known = kind()
    return kind(**{name: size for name, size in _SMALL.items() if hasattr(known, name)} | _OWN.get(family, {}))


def save_tiny(family: str, folder: Path, **changes: Any) -> Any:
    """Writes a tiny random model into a folder in the hub's layout, and returns it, in evaluation mode.

    Args:
        changes: values of its configuration that are not those of `tiny_config`.
    """
    torch.manual_seed(0)
    config = tiny_config(family)
    config.update(changes)
    masked = type(config) in transformers.MODEL_FOR_MASKED_LM_MAPPING
    model = (transformers.AutoModelForMaskedLM if masked else transformers.AutoModel).from_config(config)
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1 or name.endswith("bias"):  # so that no bias is zero, as a lost one would be
            torch.nn.init.normal_(parameter, std=0.1)
    model.tie_weights()
    model.save_pretrained(folder)
    return type(model).from_pretrained(folder).eval()  # transformers empties the embedding of Funnel's padding


def go_through(family: str, folder: Path, tasks: Tasks) -> Row:
    """Opens a tiny model, compares its logits, and goes through each task with it.

    Raises:
        AssertionError: something is not as it should be.
    """
    theirs = save_tiny(family, folder)
    try:
        encoder = Pretrained(VOCABULARY, str(folder), dropout=0.0)
    except UserError as error:
        reason = str(error).partition("cannot be used: ")[2].partition(". Choose")[0]
        if not reason:  # only what the config says, before any work
            raise
        return Row(family, refused=reason)
    head = masked_lm_head(encoder)
    own = isinstance(head, PretrainedHead)
    assert own == (family not in WITHOUT_HEAD)
    if own:
        ids, seen = torch.randint(6, VOCABULARY, (2, 9)), torch.arange(9) < torch.tensor([[9], [5]])
        encoder.eval(), head.eval()
        with torch.no_grad():
            expected, found = theirs(ids, attention_mask=seen.long()).logits, head(encoder(ids, seen))
        torch.testing.assert_close(found[seen], expected[seen], rtol=1e-4, atol=1e-5)
    if encoder.max_length is not None:
        assert encoder.eval()(torch.full((1, encoder.max_length), 7)).shape[:2] == (1, encoder.max_length)
    assert set(encoder.parameter_depths()) == {name for name, _ in encoder.named_parameters()}
    for name in TASKS:
        tasks.go_through(name, encoder, folder / name)
    return Row(family, own, tokenizer_of(family))


def tokenizer_of(family: str) -> str:
    """Returns whether the tokenizer of a type, as the hub has it, is a fast one."""
    name = TOKENIZER_MAPPING_NAMES.get(family) or ""
    kind = getattr(transformers, name if isinstance(name, str) else name[0], None)
    slow = kind is not None and not issubclass(kind, transformers.PreTrainedTokenizerFast)
    return "needs a `tokenizer.json`" if slow or family == "roformer" else "fast"
