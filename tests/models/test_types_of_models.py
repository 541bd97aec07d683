"""No type of model ends in a traceback; docs/models.md lists them all."""

import pytest

from tests.models.families import FAMILIES
from tests.models.test_families import DOCUMENT
from tests.models.types_of_models import TYPES, USABLE, judge

# every twelfth, since all of them take half a minute; scripts/documents/list_models.py goes through all
SOME = [kind for kind in TYPES[::12] if kind not in FAMILIES]
ODD = [
    "gemma4_assistant",
    "nougat",
    "higgs_audio_v2_tokenizer",
    "voxtral_realtime_text",
    "vits",
    "mistral4",
    "pe_audio",
]


@pytest.mark.parametrize("kind", [*SOME, *ODD])
def test_a_type_is_refused_as_the_document_says(tmp_path, kind):
    reason = judge(kind, tmp_path)
    assert reason != USABLE
    [listed] = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("- ") and f"`{kind}`" in line]
    assert listed.startswith(f"- {reason}: ")
