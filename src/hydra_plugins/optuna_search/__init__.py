"""Hydra's sweeper `optuna`: a search for the best settings, by ask and tell. See conf/hydra/sweeper/optuna.yaml.

Akiba et al., "Optuna: A Next-generation Hyperparameter Optimization Framework", 2019.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

STUDY, JOURNAL = "sweep", "optuna.journal"


class OptunaSweeper(Sweeper):
    """Asks for settings, runs them as jobs, and tells their objectives.

    All trials are in a journal in the sweep's folder. If the same sweep is started again, finished trials count,
    and those that were under way go on from their checkpoints.

    Args:
        n_trials: how many trials are to be finished, whether complete, pruned or failed.
        mode: whether the objective is to be low (`min`) or high (`max`).
        sampler: node of a class of `optuna.samplers`.
        pruner: node of a class of `optuna.pruners`, which validations are reported to; None prunes no trial.
        space: what is searched, by keys: a list of values, or a mapping with `low` and `high`, and perhaps with
            `step` or `log`.
    """

    def __init__(self, n_trials: int, mode: str, sampler: Any, pruner: Any, space: Mapping[str, Any]):
        self.n_trials, self.mode, self.sampler, self.pruner, self.space = n_trials, mode, sampler, pruner, space
        self.config: Any = None
        self.hydra_context: HydraContext | None = None
        self.launcher: Any = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config, self.hydra_context = config, hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Runs trials until enough are finished, and writes the best one to `best.yaml`.

        Raises:
            UserError: optuna is missing, or the search is not described well.
            JobsFailed: no trial is complete.
        """
        from maskwright.core.errors import JobsFailed

        optuna = _optuna()
        if not hasattr(self.launcher, "n_jobs"):
            raise _user_error("hydra/sweeper=optuna needs hydra/launcher=processes, which can prune a job.")
        self.launcher.raises = False
        fixed, space = self._split(arguments)
        folder = Path(self.config.hydra.sweep.dir)
        folder.mkdir(parents=True, exist_ok=True)
        study = self._study(optuna, folder)
        for trial in study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.RUNNING]):
            # goes on as a new trial in the same folder
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            study.enqueue_trial(trial.params)
        while left := self.n_trials - len(_finished(optuna, study)):
            trials = [study.ask(space) for _ in range(min(left, self.launcher.n_jobs))]
            self._run(optuna, study, trials, [self._overrides(trial, fixed, folder) for trial in trials])
        done = [trial for trial in study.trials if trial.state == optuna.trial.TrialState.COMPLETE]
        if not done:
            raise JobsFailed("No trial is complete; output.log in their folders says why.")
        best = study.best_trial
        print(f"Best of {len(done)} complete trials: {_name(best.params)}: {best.value:.4f}")
        OmegaConf.save(
            {"objective": best.value, "settings": best.params, "folder": best.user_attrs["folder"]},
            folder / "best.yaml",
        )

    def _study(self, optuna: Any, folder: Path) -> Any:
        from hydra.utils import instantiate
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        pruner = None if self.pruner is None else OmegaConf.to_container(self.pruner, resolve=True)
        study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(folder / JOURNAL))),
            study_name=STUDY,
            direction={"min": "minimize", "max": "maximize"}[self.mode],
            sampler=instantiate(self.sampler),
            load_if_exists=True,
        )
        study.set_user_attr("pruner", pruner)  # for the jobs
        return study

    def _split(self, arguments: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
        """Returns the overrides that all trials have, and the distributions of the others by key."""
        assert self.hydra_context is not None
        space = {key: _distribution(key, values) for key, values in self.space.items()}
        fixed = []
        for override in OverridesParser.create(self.hydra_context.config_loader).parse_overrides(list(arguments)):
            key = override.get_key_element()
            if override.is_sweep_override():
                space[key] = _distribution_of(override)
            else:
                fixed.append(f"{key}={override.get_value_element_as_str()}")
                space.pop(key, None)  # given on the command line
        if not space:
            raise _user_error("hydra/sweeper=optuna has nothing to search: choose sweep=..., or give intervals.")
        return fixed, space

    def _overrides(self, trial: Any, fixed: Sequence[str], folder: Path) -> list[str]:
        from maskwright.run.jobs import folder_name
        from maskwright.run.overrides import in_quotes

        subdir = folder_name(_name(trial.params))
        trial.set_user_attr("folder", subdir)
        own = [
            *fixed,
            *(f"{key}={value}" for key, value in trial.params.items()),
            f"hydra.sweep.subdir={in_quotes(subdir)}",
        ]
        if self.pruner is not None:
            journal = in_quotes(str((folder / JOURNAL).absolute()))
            own.append(
                f"+callbacks.pruning={{_target_:maskwright.callbacks.Pruning,journal:{journal},trial:{trial.number},"
                "monitor:${objective}}"
            )
        return own

    def _run(self, optuna: Any, study: Any, trials: Sequence[Any], jobs: Sequence[Sequence[str]]) -> None:
        from maskwright.core.errors import JobsFailed, Pruned

        for trial, result in zip(trials, self.launcher.launch(jobs, trials[0].number), strict=True):
            value = result.return_value
            if isinstance(value, Pruned):
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            elif isinstance(value, JobsFailed) or not math.isfinite(value):
                trial.set_user_attr("error", str(value))
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                study.tell(trial, value)


def _finished(optuna: Any, study: Any) -> list[Any]:
    """Returns the finished trials, without those that were under way in an earlier process."""
    states = optuna.trial.TrialState
    return [
        trial
        for trial in study.trials
        if trial.state in (states.COMPLETE, states.PRUNED)
        or (trial.state == states.FAIL and "error" in trial.user_attrs)
    ]


def _name(params: Mapping[str, Any]) -> str:
    return " ".join(
        f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}" for key, value in params.items()
    )


def _distribution(key: str, values: Any) -> Any:
    """Returns the distribution that an entry of `space` describes."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    try:
        if isinstance(values, Mapping):
            whole = all(isinstance(number, int) for name, number in values.items() if name != "log")
            return (IntDistribution if whole else FloatDistribution)(**values)
        return CategoricalDistribution(list(values))
    except (TypeError, ValueError) as error:
        raise _user_error(
            f"hydra.sweeper.space.{key}={values} is no list of values and no low, high: {error}"
        ) from None


def _distribution_of(override: Override) -> Any:
    """Returns the distribution of a sweep of the command line: values with commas, range() or interval()."""
    sweep: Any = override.value()
    key = override.get_key_element()
    if isinstance(sweep, ChoiceSweep):
        return _distribution(key, [*_choices(override)])
    if isinstance(sweep, RangeSweep):
        last = sweep.start + (_steps(sweep) - 1) * sweep.step  # type: ignore[operator]
        return _distribution(key, {"low": sweep.start, "high": last, "step": sweep.step})
    assert isinstance(sweep, IntervalSweep)
    return _distribution(key, {"low": sweep.start, "high": sweep.end, "log": "log" in sweep.tags})


def _choices(override: Override) -> Iterator[Any]:
    for value in override.sweep_iterator():
        yield value if isinstance(value, bool | int | float | str | None) else str(value)


def _steps(sweep: RangeSweep) -> int:
    return len([*sweep.range()])


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise _user_error("hydra/sweeper=optuna needs optuna: pip install -e .[optuna]") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _user_error(message: str) -> Exception:
    from maskwright.core.errors import UserError

    return UserError(message)
