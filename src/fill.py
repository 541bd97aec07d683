"""Fill masks in texts with a masked language model. See `python src/fill.py --help`."""

from omegaconf import DictConfig

from maskwright.cli import Invocation, command


@command("fill", stdin="text")
def main(cfg: DictConfig, invocation: Invocation) -> None:
    from maskwright.run.fill import run_fill  # takes seconds to import, which --help does not need

    run_fill(cfg)


if __name__ == "__main__":
    main()
