"""Ends a trial of a search that does worse than others."""

from typing import Any

from lightning import Callback, LightningModule, Trainer

from maskwright.core.distributed import from_main, is_main
from maskwright.core.errors import Pruned
from maskwright.core.types import PathText
from maskwright.settings.build import build
from maskwright.settings.component import Component


class Pruning(Callback):
    """Reports each validation to a study of optuna, and ends the run if the study's pruner says so.

    The sweeper `optuna` adds it to the jobs.

    Args:
        journal: the file of the study.
        trial: the number of the run's trial.
        monitor: the metric that is reported.
    """

    def __init__(self, journal: PathText, trial: int, monitor: str):
        self.journal, self.number, self.monitor = journal, trial, monitor
        self._trial: Any = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not is_main(trainer):
            return
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        [study] = optuna.get_all_study_names(storage := JournalStorage(JournalFileBackend(self.journal)))
        found = optuna.load_study(study_name=study, storage=storage)
        found.pruner = build(Component.from_node(found.user_attrs["pruner"]), "hydra.sweeper.pruner")
        self._trial = optuna.trial.Trial(found, found.trials[self.number]._trial_id)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        prune = False
        if self._trial is not None and self.monitor in trainer.callback_metrics:
            self._trial.report(float(trainer.callback_metrics[self.monitor]), trainer.global_step)
            prune = self._trial.should_prune()
        if from_main(prune):
            raise Pruned(f"Pruned after step {trainer.global_step}: other trials were better by then.")
