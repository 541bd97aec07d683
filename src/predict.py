"""Predict labels, tags or numbers with a finished run. See `python src/predict.py --help`."""

from omegaconf import DictConfig

from maskwright.cli import Invocation, command


@command("predict", stdin="text")
def main(cfg: DictConfig, invocation: Invocation) -> None:
    from maskwright.run.predict import predict  # takes seconds to import, which --help does not need

    predict(cfg, invocation.overrides)


if __name__ == "__main__":
    main()
