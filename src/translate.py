"""Translate texts with a finished run. See `python src/translate.py --help`."""

from omegaconf import DictConfig

from maskwright.cli import Invocation, command


@command("translate", stdin="text")
def main(cfg: DictConfig, invocation: Invocation) -> None:
    from maskwright.run.translate import run_translate  # takes seconds to import, which --help does not need

    run_translate(cfg)


if __name__ == "__main__":
    main()
