"""Evaluate a finished run. See `python src/evaluate.py --help`."""

from omegaconf import DictConfig

from maskwright.cli import Invocation, command


@command("evaluate")
def main(cfg: DictConfig, invocation: Invocation) -> None:
    from maskwright.run.evaluate import evaluate  # takes seconds to import, which --help does not need

    evaluate(cfg, invocation.overrides, invocation.multirun)


if __name__ == "__main__":
    main()
