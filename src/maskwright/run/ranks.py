"""The processes of a run: where they come from, and how those beside the first follow it."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from lightning.pytorch.plugins.environments import ClusterEnvironment
from omegaconf import OmegaConf

from maskwright.core import distributed, terminal
from maskwright.core.distributed import Rank
from maskwright.core.errors import UserError
from maskwright.settings.hardware import Hardware

_FOLLOWER = "maskwright.run.follow"
_SECONDS_TO_END = 10  # which the other processes get when the first one ends


@dataclass(frozen=True)
class Place:
    """Where a process stands among those of its run.

    Attributes:
        rank: its number, and how many there are.
        local: its number among those of its node.
        node: the number of its node.
        address, port: where rank 0 listens; None until it is known.
        launched: whether something else, such as torchrun or srun, starts all processes.
    """

    rank: Rank
    local: int = 0
    node: int = 0
    address: str = "127.0.0.1"
    port: int = 0
    launched: bool = False


ALONE = Place(Rank(0, 1))


def hardware_of(cfg: Any) -> Hardware:
    """Returns the checked group `hardware` of a config."""
    return Hardware.parse(OmegaConf.to_container(cfg.hardware, resolve=True), "hardware")


def find_place(hardware: Hardware, environment: Mapping[str, str] = os.environ, multirun: bool = False) -> Place:
    """Returns where this process stands, by the variables of torchrun or srun, if a run has several devices.

    Variables that others left behind do not count for a run on one device.

    Args:
        multirun: whether the run is a job of a sweep.
    Raises:
        UserError: something started another number of processes than the settings ask for, or the run has several
            nodes and nothing started its processes.
    """
    devices, nodes = hardware.devices, hardware.nodes
    wanted = devices * nodes
    if wanted == 1:
        return ALONE
    if "RANK" in environment and "WORLD_SIZE" in environment:
        started, program = int(environment["WORLD_SIZE"]), "torchrun"
        number, local = int(environment["RANK"]), int(environment.get("LOCAL_RANK", 0))
        address, port = environment.get("MASTER_ADDR", "127.0.0.1"), int(environment.get("MASTER_PORT", 29500))
    elif int(environment.get("SLURM_NTASKS", 1)) > 1 and "SLURM_PROCID" in environment:
        started, program = int(environment["SLURM_NTASKS"]), "srun"
        number, local = int(environment["SLURM_PROCID"]), int(environment["SLURM_LOCALID"])
        address = _first_host(environment.get("SLURM_STEP_NODELIST", environment.get("SLURM_NODELIST", "")))
        port = 15000 + int(environment.get("SLURM_JOB_ID", 0)) % 10000  # the same on all nodes
    elif nodes > 1:
        raise UserError(
            f"hardware.nodes={nodes}, but nothing has started the processes of the other nodes. Start the command "
            f"on each by srun, or by torchrun --nnodes={nodes} --nproc-per-node={devices}."
        )
    else:
        return Place(Rank(0, wanted))
    if started != wanted:
        raise UserError(
            f"{program} has started {started} processes, but hardware.devices={devices} and hardware.nodes={nodes} "
            f"ask for {wanted}. Make the numbers equal."
        )
    if multirun:
        raise UserError(
            f"-m under {program}: each of the {started} processes would begin a sweep of its own. Start the sweep "
            "without it, where a job starts the processes of its devices itself, or run after run."
        )
    return Place(Rank(number, wanted), local, number // devices, address, port, launched=True)


def _first_host(names: str) -> str:
    """Returns the first host of a list as Slurm writes it: `node[07-09,12],other`."""
    before, bracket, inside = names.partition("[")
    if not bracket or "," in before:
        return names.split(",")[0] or "127.0.0.1"
    first = inside.split("]")[0].split(",")[0].split("-")[0]
    return before + first


class Ranks(ClusterEnvironment):
    """Tells Lightning where a process stands; Lightning starts none itself."""

    def __init__(self, place: Place):
        super().__init__()
        self.place = place

    @property
    def creates_processes_externally(self) -> bool:
        return True

    @property
    def main_address(self) -> str:
        return self.place.address

    @property
    def main_port(self) -> int:
        return self.place.port

    @staticmethod
    def detect() -> bool:
        return False

    def world_size(self) -> int:
        return self.place.rank.world_size

    def set_world_size(self, size: int) -> None:
        pass

    def global_rank(self) -> int:
        return self.place.rank.number

    def set_global_rank(self, rank: int) -> None:
        pass

    def local_rank(self) -> int:
        return self.place.local

    def node_rank(self) -> int:
        return self.place.node


@contextmanager
def together(place: Place, task: Any) -> Iterator[Place]:
    """Forms the group of the processes of a run, for the time of a block; those that are missing are started.

    Args:
        place: where this process stands.
        task: what the others get from rank 0, see `follow`.
    """
    if place.rank.world_size == 1:
        yield place
        return
    others: list[subprocess.Popen[bytes]] = []
    if not place.launched:
        place = Place(place.rank, port=_free_port(), launched=True)
        others = [_start(place, number) for number in range(1, place.rank.world_size)]
    try:
        distributed.join(place.rank, place.address, place.port)
        distributed.from_main(task)
        yield place
    except BaseException as error:
        distributed.tell_failure(error)
        raise
    finally:
        distributed.leave()
        _end(others)


def follow(place: Place, run: Callable[[Any, Place], Any]) -> Any:
    """Joins the group as one of the processes beside the first, and runs what that one says.

    Args:
        run: gets the `task` of `together`, and the place.
    """
    terminal.silence()
    distributed.join(place.rank, place.address, place.port)
    try:
        return run(distributed.from_main(None), place)
    except BaseException as error:
        distributed.tell_failure(error)
        raise
    finally:
        distributed.leave()


def _start(place: Place, number: int) -> "subprocess.Popen[bytes]":
    own = {
        "RANK": number,
        "LOCAL_RANK": number,
        "WORLD_SIZE": place.rank.world_size,
        "MASTER_ADDR": place.address,
        "MASTER_PORT": place.port,
        # classes of the user's own, which are named in the config
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    environment = os.environ | {name: str(value) for name, value in own.items()}
    return subprocess.Popen([sys.executable, "-m", _FOLLOWER], env=environment, stdin=subprocess.DEVNULL)


def _end(others: Sequence["subprocess.Popen[bytes]"]) -> None:
    """Waits for the other processes, which end with the run, and ends them if they do not."""
    until = time.monotonic() + _SECONDS_TO_END
    for process in others:
        try:
            process.wait(max(until - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            process.terminate()
    for process in others:
        try:
            process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def end_with_parent() -> None:
    """Ends this process as soon as the one that started it is gone, even if that was killed."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def place_of_follower(environment: Mapping[str, str] = os.environ) -> Place:
    """Returns the place that `together` gave to a process that it started."""
    number, world_size = int(environment["RANK"]), int(environment["WORLD_SIZE"])
    address, port = environment["MASTER_ADDR"], int(environment["MASTER_PORT"])
    return Place(Rank(number, world_size), number, 0, address, port, launched=True)
