"""Evaluate a finished run. `python src/evaluate.py --help` tells how."""

from omegaconf import DictConfig

from maskwright.cli import door


@door("evaluate")
def main(cfg: DictConfig) -> None:
    from maskwright.run.evaluate import evaluate  # imports what takes seconds; --help need not wait

    evaluate(cfg)


if __name__ == "__main__":
    main()
