"""Write a trained model in a format that other programs open. See `python src/export.py --help`."""

from omegaconf import DictConfig

from maskwright.cli import Invocation, command


@command("export")
def main(cfg: DictConfig, invocation: Invocation) -> None:
    from maskwright.run.export import export  # takes seconds to import, which --help does not need

    export(cfg)


if __name__ == "__main__":
    main()
