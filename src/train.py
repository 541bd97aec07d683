"""Train a model. See `python src/train.py --help`."""

from omegaconf import DictConfig

from maskwright.cli import Invocation, command


@command("train")
def main(cfg: DictConfig, invocation: Invocation) -> float:
    from maskwright.run.train import train  # takes seconds to import, which --help does not need

    return train(
        cfg, invocation.overrides, invocation.output, invocation.multirun, invocation.choices, invocation.sweep
    ).objective


if __name__ == "__main__":
    main()
