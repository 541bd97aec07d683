"""Show what a mask does to a text. See `python src/mask.py --help`."""

from omegaconf import DictConfig

from maskwright.cli import Invocation, command


@command("mask")
def main(cfg: DictConfig, invocation: Invocation) -> None:
    from maskwright.run.preview import preview  # takes seconds to import, which --help does not need

    preview(cfg)


if __name__ == "__main__":
    main()
