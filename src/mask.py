"""Look at what a mask does to a text. `python src/mask.py --help` tells how."""

from omegaconf import DictConfig

from maskwright.cli import door


@door("mask", literal=("text", "title"))
def main(cfg: DictConfig) -> None:
    from maskwright.run.preview import preview  # imports what takes seconds; --help need not wait

    preview(cfg)


if __name__ == "__main__":
    main()
