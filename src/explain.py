"""Explain which words decided a prediction. See `python src/explain.py --help`."""

from omegaconf import DictConfig

from maskwright.cli import Invocation, command


@command("explain", stdin="text")
def main(cfg: DictConfig, invocation: Invocation) -> None:
    from maskwright.run.explain import run_explain  # takes seconds to import, which --help does not need

    run_explain(cfg)


if __name__ == "__main__":
    main()
