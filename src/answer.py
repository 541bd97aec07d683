"""Answer questions about contexts with a finished run. See `python src/answer.py --help`."""

from omegaconf import DictConfig

from maskwright.cli import Invocation, command


@command("answer")
def main(cfg: DictConfig, invocation: Invocation) -> None:
    from maskwright.run.answer import run_answer  # takes seconds to import, which --help does not need

    run_answer(cfg)


if __name__ == "__main__":
    main()
