"""The sources of text: readers, labels, splits, cleaning. No torch."""
