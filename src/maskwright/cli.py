"""The command line: Hydra, help texts, error messages."""

import functools
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import ConfigCompositionException, MissingConfigException, OverrideParseException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, read_write
from omegaconf.errors import InterpolationResolutionError, MissingMandatoryValue, OmegaConfBaseException

from maskwright.core.changes import dotted_keys
from maskwright.core.errors import USER_ERROR, Interrupted, JobsFailed, Pruned, UserError, nearest
from maskwright.core.job_output import JobOutput, remove_empty
from maskwright.core.renamed import new_key
from maskwright.core.signals import ENDING, of_submitit
from maskwright.run.jobs import PRUNED, sweep_name
from maskwright.run.launchers import check_launcher
from maskwright.run.overrides import composed, config_dirs, quoted
from maskwright.run.requeue import requeue
from maskwright.run.several import expanded
from maskwright.settings.options import listing

SIGNALLED = 128  # and the signal's number added, as shells have it
_HELP = {"--help", "-h", "--hydra-help", "--version"}


@dataclass(frozen=True)
class Invocation:
    """How a command was called, which its config does not say.

    Attributes:
        overrides: those of the command line.
        multirun: whether this is a job of a sweep.
        output: the directory that Hydra has made for the job.
        choices: the options that were chosen, by their groups.
        sweep: the directory of the sweep that this is a job of.
    """

    overrides: tuple[str, ...] = ()
    multirun: bool = False
    output: JobOutput | None = None
    choices: Mapping[str, str] = field(default_factory=dict)
    sweep: str | None = None


Main = Callable[[DictConfig, Invocation], Any]


def command(
    config_name: str, prose: tuple[str, ...] = (), stdin: str | None = None
) -> Callable[[Main], Callable[[], None]]:
    """Decorates `main(cfg, invocation)` of a program with Hydra, over `conf/<config_name>.yaml` of its repository.

    What the user got wrong is said in one message, without a traceback.

    Args:
        prose: see `overrides.quoted`.
        stdin: the key that gets the value `-` where `-` is an argument by itself.
    """

    def decorate(main: Main) -> Callable[[], None]:
        conf = str(_conf_of(Path(main.__code__.co_filename)))
        jobs = _Jobs()

        @functools.wraps(main)
        def job(cfg: DictConfig) -> Any:
            # what Slurm and docker send ends a run as Ctrl-C does, also while a corpus is being prepared
            for number in ENDING:
                if number != signal.SIGINT and not of_submitit(signal.getsignal(number)):
                    signal.signal(number, _terminate)
            invocation = _invocation()
            with _explained(), jobs.counted(invocation), _removed_if_empty(invocation.output):
                _check_folder()
                return main(cfg, invocation)

        def enter() -> None:
            if stdin is not None:
                sys.argv[1:] = [f"{stdin}=-" if argument == "-" else argument for argument in sys.argv[1:]]
            if not _HELP & {*sys.argv}:
                sys.argv[1:] = expanded(quoted(sys.argv[1:], conf, config_name, prose), config_name)
            os.environ["HYDRA_FULL_ERROR"] = "1"  # makes Hydra hand its errors to us
            # the groups in the help texts of conf/hydra/help
            OmegaConf.register_new_resolver("options", lambda: listing(Path(conf), config_name), replace=True)
            named = sweep_name(sys.argv[1:])
            # a value that is asked for once and kept, like the time of ${now:}
            OmegaConf.register_new_resolver("sweep_name", lambda: named, replace=True, use_cache=True)
            try:
                with _explained():
                    hydra.main(version_base="1.3", config_path=conf, config_name=config_name)(job)()
            except JobsFailed as error:
                _fail(str(error), status=1)
            except JobFailed as error:
                if not jobs.failed:  # in a process of joblib
                    _fail(str(error), status=1)
                jobs.report()
            except Exception as error:
                if not jobs.begun and (refused := _os_error(error)) is not None:
                    _fail(
                        f"run_dir: {refused.filename} cannot be written ({refused.strerror}). Point hydra.run.dir, "
                        "or hydra.sweep.dir of a sweep, to a folder where you can write."
                    )
                _explain_composition(error, conf, config_name)
                raise

        return enter

    return decorate


def _explain_composition(error: Exception, conf: str, config_name: str) -> None:
    """Ends the program with a message if the config could not be composed."""
    if isinstance(error, ConfigCompositionException | OverrideParseException | OmegaConfBaseException):
        _fail(explain(error, conf, config_name, sys.argv[1:]))
    if isinstance(error, ValueError) and "Config group override" in str(error):
        _fail(f"{error} The value of a group is the name of one of its options.")


def _os_error(error: BaseException | None) -> OSError | None:
    """Returns the error about a file that `error` is or was raised from; None if there is none."""
    while error is not None and not (isinstance(error, OSError) and error.filename):
        error = error.__cause__ or error.__context__
    return error


@dataclass
class _Jobs:
    """The jobs of one command: a single one, or those of a sweep, which goes on where one of them fails.

    Attributes:
        begun: how many have begun in this process.
        failed: those of a sweep that failed, one line each.
        status: the exit status that they lead to.
        sweep: the directory of the sweep.
    """

    begun: int = 0
    failed: list[str] = field(default_factory=list)
    status: int = USER_ERROR
    sweep: str | None = None

    @contextmanager
    def counted(self, invocation: Invocation) -> Iterator[None]:
        """Notes a failure of a job of a sweep and passes it on to Hydra, which goes on with the next job."""
        self.begun += 1
        self.sweep = invocation.sweep
        try:
            yield
        except Exception as error:
            if not invocation.multirun or isinstance(error, Interrupted):
                raise
            if not isinstance(error, UserError | MissingMandatoryValue):
                self.status = 1
                traceback.print_exc()
            said = (_explanation(error) or f"{type(error).__name__}: {error}").splitlines()
            # without those that all jobs have
            own = [override for override in invocation.overrides if override not in sys.argv]
            name = f"#{HydraConfig.get().job.num} ({' '.join(own)})"
            self.failed.append(f"{name}: {said[0] if said else ''}")
            print(f"error: {self.failed[-1]}", file=sys.stderr, flush=True)
            raise JobFailed(self.failed[-1]) from error

    def report(self) -> NoReturn:
        """Names the failed jobs and ends the program; leaves no directory that would hold settings alone."""
        folder = None if self.sweep is None else Path(self.sweep).absolute()
        if folder is not None and [*folder.glob("*")] == [folder / "multirun.yaml"]:
            (folder / "multirun.yaml").unlink()
            remove_empty(folder, and_above=True)
        of = f"{len(self.failed)} of {self.begun} jobs failed:"
        print("\n  ".join([f"error: {of}", *self.failed]), file=sys.stderr, flush=True)
        sys.exit(self.status)


class JobFailed(Exception):
    """A job of a sweep failed, which has been reported."""


class SweepCheck(Callback):
    """Refuses a sweep before its first job, and before anything of it is written; see `check_launcher`."""

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        with _explained():
            check_launcher(config)


@contextmanager
def _removed_if_empty(output: JobOutput | None) -> Iterator[None]:
    """Leaves no directory behind of a job that is refused or stopped before it writes anything."""
    try:
        yield
    except BaseException:
        if output is not None:
            output.remove_if_empty()
        raise


def _check_folder() -> None:
    if HydraConfig.get().job.chdir:
        os.chdir(HydraConfig.get().runtime.cwd)
        raise UserError(
            "hydra.job.chdir=true would give relative paths another meaning. Leave it out: everything that a run "
            "writes is in its run_dir anyway."
        )


def _conf_of(program: Path) -> Path:
    """The folder conf/ of the repository that a program is in."""
    return next(folder / "conf" for folder in program.resolve().parents if (folder / "conf").is_dir())


def _invocation() -> Invocation:
    config = HydraConfig.get()
    multirun = config.mode == RunMode.MULTIRUN
    key = "hydra.sweep.dir" if multirun else "hydra.run.dir"
    named = any(override.lstrip("+").partition("=")[0] == key for override in config.overrides.hydra)
    output = JobOutput(Path(config.runtime.output_dir), named, _move)
    chosen = config.runtime.choices.items()
    choices = {str(group): option for group, option in chosen if option and not str(group).startswith("hydra/")}
    sweep = str(config.sweep.dir) if multirun else None
    return Invocation(tuple(config.overrides.task), multirun, output, choices, sweep)


def _move(folder: Path) -> None:
    """Gives the job another directory: `run_dir` is taken from there, in the processes of further devices too."""
    config: Any = HydraConfig.instance().cfg
    with read_write(config.hydra.runtime), read_write(config.hydra.run):
        config.hydra.runtime.output_dir = str(folder)
        if config.hydra.mode != RunMode.MULTIRUN:
            config.hydra.run.dir = str(folder)


@contextmanager
def _explained() -> Iterator[None]:
    """Ends the program with a message and a status of its own where a user's mistake or a signal ends it."""
    try:  # SystemExit is what Hydra passes on without a word of its own
        yield
    except (UserError, MissingMandatoryValue) as error:
        _fail(_explanation(error))
    except InterpolationResolutionError as error:
        if not isinstance(error.__cause__, UserError):
            raise
        _fail(str(error.__cause__))
    except Pruned as end:
        print(end, flush=True)
        sys.exit(PRUNED)
    except Interrupted as stop:
        _end_by(stop.signal, str(stop))
    except KeyboardInterrupt as stop:
        _end_by(stop.args[0] if stop.args else signal.SIGINT, "\nStopped. Nothing half-written is kept.")


def _end_by(number: int, message: str) -> NoReturn:
    print(message, file=sys.stderr, flush=True)
    requeue(number)
    sys.exit(SIGNALLED + number)


def _explanation(error: Exception) -> str:
    """Returns what a user's mistake means; an empty text for other errors."""
    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key} has no value yet. Give it one: {error.full_key}=..."
    return str(error) if isinstance(error, UserError) else ""


def _fail(message: str, status: int = USER_ERROR) -> NoReturn:
    print(f"error: {message}", file=sys.stderr, flush=True)
    sys.exit(status)


def _terminate(number: int, frame: Any) -> None:
    raise KeyboardInterrupt(number)


def explain(error: Exception, conf: str, config_name: str, arguments: list[str]) -> str:
    """What a failed composition means: what exists, and what was probably meant."""
    if isinstance(error, MissingConfigException) and error.options is not None:
        group, _, option = (error.missing_cfg_file or "").rpartition("/")
        options = [name for name in error.options if not name.startswith("_")]
        return (
            f"{group}={option} does not exist.{nearest(option, options)} "
            f"The options of {group} are: {', '.join(options)}."
        )
    said = f"{error}\n{error.__cause__ or ''}"
    match = re.search(r"Could not override '([^'@]+)", said)
    if match is None:
        return said.strip()
    key = match.group(1)
    if (instead := new_key(key)) is not None:
        return f"{key} is now {instead}."
    groups, keys = known(conf, config_name, arguments)
    parent, _, last = key.rpartition(".")
    near = nearest(key, [*groups, *keys])
    if not near:  # a right name in a wrong place
        near = " ".join(f" Did you mean '{name}'?" for name in keys if name.endswith(f".{last}"))
    beside = [name for name in keys if parent and name.rpartition(".")[0] == parent]
    told = f"The keys of {parent} are" if beside else "The groups are"
    return f"There is no key or group '{key}'.{near} {told}: {', '.join(beside or groups)}."


def known(conf: str, config_name: str, arguments: list[str]) -> tuple[list[str], list[str]]:
    """The groups of conf/ and of --config-dir, and the dotted keys of the config under the arguments' choices."""
    found = {
        str(folder.relative_to(root))
        for root in (Path(conf), *config_dirs(arguments))
        for folder in root.rglob("*")
        if folder.is_dir()
    }
    groups = sorted(name for name in found if not name.startswith("hydra"))
    choices = [a for a in arguments if a.split("=")[0].split("@")[0] in groups and "," not in a]
    try:
        config = composed(conf, config_name, arguments, choices)
    except Exception:  # a choice is wrong as well
        config = composed(conf, config_name, arguments, [])
    return groups, dotted_keys(config)
