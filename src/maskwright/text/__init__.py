"""Text -> tokens on disk: cleaning, tokenizers, words, packing."""
