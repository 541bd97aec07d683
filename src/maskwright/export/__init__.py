"""Writers of other formats, each with its check."""
