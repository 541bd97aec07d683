"""What masks know about a corpus: words, collocations, entities, frequencies, lexicons. No torch."""
