"""Score texts and minimal pairs with a masked language model. See `python src/score.py --help`."""

from omegaconf import DictConfig

from maskwright.cli import Invocation, command


@command("score", stdin="text")
def main(cfg: DictConfig, invocation: Invocation) -> None:
    from maskwright.run.score import run_score  # takes seconds to import, which --help does not need

    run_score(cfg)


if __name__ == "__main__":
    main()
