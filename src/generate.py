"""Write text with a masked language model. See `python src/generate.py --help`."""

from omegaconf import DictConfig

from maskwright.cli import Invocation, command


@command("generate", stdin="text")
def main(cfg: DictConfig, invocation: Invocation) -> None:
    from maskwright.run.generate import run_generate  # takes seconds to import, which --help does not need

    run_generate(cfg)


if __name__ == "__main__":
    main()
