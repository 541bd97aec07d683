"""Where text comes from: readers, labels, splits, cleaning. No torch."""
