"""Annotations of a corpus for masks: words, collocations, entities, frequencies, lexicons.

No torch, so that the processes that annotate a corpus start fast.
"""

from maskwright.annotations.annotation import Annotation, BaseAnnotation
from maskwright.annotations.collocations import Collocations
from maskwright.annotations.entities import Entities
from maskwright.annotations.frequency import Frequency, Tfidf
from maskwright.annotations.lexicon import Lexicon
from maskwright.annotations.shards import Shard

__all__ = [
    "Annotation",
    "BaseAnnotation",
    "Collocations",
    "Entities",
    "Frequency",
    "Lexicon",
    "Shard",
    "Tfidf",
]
