"""What a dashboard knows of a run besides its metrics."""

from collections.abc import Mapping

from maskwright.loggers import Description, flat, group, tags
from maskwright.run.assemble import task_spec
from maskwright.run.lifecycle import Run
from maskwright.tasks.evaluation_masks import METRICS


def describe(run: Run, choices: Mapping[str, str], sweep: str | None) -> Description:
    """Returns the description of a run.

    Args:
        choices: the options that were chosen, by their groups.
        sweep: the directory of the sweep that the run is a job of.
    """
    resumed = None if run.checkpoint is None else str(run.checkpoint.checkpoint)
    return Description(
        name=run.run_dir.absolute().name,
        job_type=choices.get("task", type(run.task).__name__),
        group=group(sweep),
        tags=tags(choices),
        config=flat({"choices": dict(choices), **run.settings.plain(), "resumed_from": resumed}),
        better={metric.name: metric.better for metric in task_spec(run.settings.task).metrics}
        | {f"{mask}/{own.name}": own.better for mask in run.settings.evaluation_masks for own in METRICS},
    )
