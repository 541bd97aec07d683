"""Text -> tokens on disk: tokenizers, packing, memory-mapped arrays."""
