"""Numbers for each token beyond its id, computed once when a corpus is prepared.

An annotation learns what it needs from the training split, then gives each token of every split one number: whether
it opens a unit, or a weight. The numbers are stored beside the tokens, in memory-mapped arrays, and come with each
batch under the name of the annotation. An annotation can be used as units or weights of a mask: it then returns its
numbers from the batch.
"""

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from maskwright.annotations.shards import Shard
from maskwright.text.tokenizer import Tokenizer

Annotate = Callable[[Shard], np.ndarray]
Kind = Literal["units", "weights", "numbers"]
DTYPES = {"units": "bool", "weights": "float32", "numbers": "int32"}


@runtime_checkable
class Annotation(Protocol):
    """The protocol of annotations; `isinstance(part, Annotation)` is true for parts of a mask that are annotations.

    Your own class inherits from `BaseAnnotation`, or just has these members.

    Attributes:
        name: the key under which batches hold it.
        kind: `units`, True where a token opens a unit; `weights`, numbers of at least 0; or `numbers`, integers
            that no mask reads.
        reads_text: whether its shards need texts, marks and offsets.
    """

    name: str
    kind: Kind
    reads_text: bool

    def settings(self) -> Any:
        """Plain containers that differ where the numbers differ."""

    def learn(self, folder: Path, shards: Callable[[], Iterator[Shard]], tokenizer: Tokenizer) -> None:
        """Writes what it needs to know into a folder.

        Args:
            shards: returns the training split, each time it is called; without texts.
        """

    def open(self, folder: Path, tokenizer: Tokenizer) -> Annotate:
        """Returns a function from a shard to the numbers of its tokens, (N,), by what `learn` wrote."""


class BaseAnnotation(Annotation):
    """An annotation with defaults: one that learns nothing, has no settings and reads no texts.

    Attributes:
        needs_tags: whether its numbers need the tags of a corpus.
        version: of our own classes, raised when the same settings no longer give the same numbers.
    """

    reads_text: bool = False
    needs_tags: bool = False
    version: int = 1

    def settings(self) -> Any:
        return []

    def learn(self, folder: Path, shards: Callable[[], Iterator[Shard]], tokenizer: Tokenizer) -> None:
        """There is nothing to learn."""

    def __call__(self, batch: dict[str, Any], *given: Any) -> Any:
        """As units or weights of a mask: the (B, T) tensor that each batch holds."""
        return batch[self.name]


def needs_tags(annotation: Annotation) -> bool:
    """Whether the numbers of an annotation need the tags of a corpus."""
    return isinstance(annotation, BaseAnnotation) and annotation.needs_tags


def identity(annotation: Annotation) -> list[Any]:
    """Returns what the numbers of an annotation depend on besides its settings: its class, and the code of it.

    Our own code has a `version` instead.
    """
    kind = type(annotation)
    own = kind.__module__.startswith("maskwright.")
    version = annotation.version if isinstance(annotation, BaseAnnotation) else 1
    try:
        code = "" if own else inspect.getsource(kind)
    except (OSError, TypeError):  # typed at a prompt
        code = ""
    return [kind.__module__, kind.__qualname__, version, code]
