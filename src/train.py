"""Train a model. `python src/train.py --help` tells how."""

from omegaconf import DictConfig

from maskwright.cli import door


@door("train")
def main(cfg: DictConfig) -> float:
    from maskwright.run.train import (
        train,  # torch and Lightning take seconds to import; --help need not wait
    )

    return train(cfg).objective


if __name__ == "__main__":
    main()
