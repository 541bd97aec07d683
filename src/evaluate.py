"""Evaluate finished runs. See `python src/evaluate.py --help`."""

from omegaconf import DictConfig

from maskwright.cli import Invocation, command


@command("evaluate")
def main(cfg: DictConfig, invocation: Invocation) -> None:
    from maskwright.run.evaluate import compare, compares, evaluate  # takes seconds, which --help does not need

    (compare if compares(cfg) else evaluate)(cfg, invocation.overrides, invocation.multirun)


if __name__ == "__main__":
    main()
