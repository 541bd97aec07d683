"""Serve a model to other programs, and a page to people. See `python src/serve.py --help`."""

from omegaconf import DictConfig

from maskwright.cli import Invocation, command


@command("serve")
def main(cfg: DictConfig, invocation: Invocation) -> None:
    from maskwright.run.serve import run_serve  # takes seconds to import, which --help does not need

    run_serve(cfg)


if __name__ == "__main__":
    main()
