"""How the devices of a run share its work: `hardware.strategy`."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy, Strategy
from torch.optim import Optimizer

from maskwright.core import sharding
from maskwright.settings.hardware import Hardware
from maskwright.tasks import Task


def make_strategy(hardware: Hardware) -> Strategy | str:
    """Returns the strategy of a trainer. One device alone needs none."""
    number = hardware.devices * hardware.nodes
    if number == 1:
        return "auto"
    if hardware.strategy == "fsdp":
        return FullySharded(number)
    # the buffers of maskers have the same values on all devices, by their own reduction
    return DataParallel(broadcast_buffers=False)


class DataParallel(DDPStrategy):
    """DDP, which finds out which parameters have no gradient only where a task does not train them all."""

    def configure_ddp(self) -> None:
        task = cast(Task, self.model)
        self._ddp_kwargs["find_unused_parameters"] = not task.trains_all_parameters
        super().configure_ddp()


class FullySharded(ModelParallelStrategy):
    """FSDP2: each device keeps a shard of the weights, their gradients and the states of the optimizer.

    Checkpoints are those of a run on one device: whole tensors, and the states of the optimizer by the order of its
    parameters. Lightning's own states are in another order if an optimizer groups its parameters. An evaluation
    gathers all weights once, on each device.

    Args:
        number: how many devices there are.
    """

    def __init__(self, number: int):
        super().__init__(data_parallel_size=number, tensor_parallel_size=1, save_distributed_checkpoint=False)
        self._gathered = ExitStack()  # of an evaluation

    @property
    def lightning_restore_optimizer(self) -> bool:
        return True

    def lightning_module_state_dict(self) -> dict[str, Any]:
        assert self.lightning_module is not None
        return sharding.gathered(self.lightning_module.state_dict(), self.is_global_zero)

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        return sharding.gathered(optimizer.state_dict(), self.is_global_zero)

    def load_checkpoint(self, checkpoint_path: str | Path, weights_only: bool | None = None) -> dict[str, Any]:
        return self.checkpoint_io.load_checkpoint(checkpoint_path, weights_only=weights_only)

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        assert self.lightning_module is not None
        sharding.load(self.lightning_module, checkpoint["state_dict"], strict)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        [optimizer], [saved] = self.optimizers, checkpoint["optimizer_states"]
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        states = {
            number: {name: sharding.shard_of(value, parameters[number]) for name, value in state.items()}
            for number, state in saved["state"].items()
        }
        optimizer.load_state_dict(saved | {"state": states})

    # Ranks may have different numbers of evaluation batches, and must gather the weights equally often.

    def on_validation_start(self) -> None:
        self._gather()

    def on_validation_end(self) -> None:
        self._gathered.close()

    def on_test_start(self) -> None:
        self._gather()

    def on_test_end(self) -> None:
        self._gathered.close()

    def _gather(self) -> None:
        assert self.lightning_module is not None
        self._gathered.enter_context(sharding.whole_weights(self.lightning_module))
