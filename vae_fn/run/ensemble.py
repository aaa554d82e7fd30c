"""An ensemble: runs that differ in key, weight of the KL and learning rate alone, trained together.

Its folder holds the members, each a run like any other; `ensemble.json`, which names them; and at the end
`summary.json` and the curves of all.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from vae_fn.run.assemble import OWN, assemble_members
from vae_fn.run.checkpoints import checkpoints, read_record
from vae_fn.run.checks import ConfigError
from vae_fn.run.clinic import NonFiniteError
from vae_fn.run.config import TrainConfig
from vae_fn.run.folder import (
    CHECKPOINTS,
    ENSEMBLE,
    RunError,
    as_json,
    create_run,
    hold_all,
    members_of,
    read_config,
    saved_steps,
)
from vae_fn.run.members import check_kept
from vae_fn.run.resume import check_environments, check_settings, go_back, take_up
from vae_fn.run.sitting import Sitting, carry_on, last_common_step, was_lost
from vae_fn.run.together import conclude, is_concluded
from vae_fn.run.train import beginning, check_overwritten, first_files, initial_state
from vae_fn.training.loop import begin


def train_ensemble(
    configs: Sequence[TrainConfig], *, overwrite: bool = False, quiet: bool = False
) -> tuple[Path, NonFiniteError | None]:
    """Train the members of a new ensemble in lock-step, each to what it would be alone.

    Args:
        configs: the members' settings, as from `member_settings`.
        overwrite: delete an earlier run or ensemble of the same name first.
        quiet: show no progress.

    Returns:
        The ensemble's folder, and what was not finite in members; the others went on.

    Raises:
        UserError: as `train`.
        Interrupted: a signal stopped the ensemble, which is saved.
    """
    parts = assemble_members(configs)
    folder = configs[0].runs_dir
    sittings = [
        Sitting(each, folder / each.config.run_name, begin(initial_state(each)), beginning(each)) for each in parts
    ]
    described = [
        {"name": each.run_name, "key": each.key, "beta": each.beta, "learning_rate": each.learning_rate}
        for each in configs
    ]
    files = {ENSEMBLE: as_json({"members": described})}
    for each in sittings:
        files |= {f"{each.run.name}/{name}": content for name, content in first_files(each.record).items()}
    if overwrite:
        check_overwritten(configs[0].data, folder)
    create_run(folder.parent, folder.name, files, overwrite)
    with hold_all([folder, *(each.run for each in sittings)]):
        return folder, _carried_on(sittings, folder, quiet)


def resume_ensemble(
    folder: Path, config: TrainConfig, *, exact: bool = False, quiet: bool = False
) -> tuple[Path, NonFiniteError | None]:
    """Go on with the members of an ensemble from the newest step of which all have a checkpoint.

    Members that are finished, and those that were not finite, are left as they are.

    Args:
        folder: of the ensemble.
        config: the settings of its first member, changed where all members' may be.
        exact: refuse to go on where the environment differs.
        quiet: show no progress.

    Returns:
        As `train_ensemble`.

    Raises:
        UserError: the ensemble cannot be resumed; nothing has been changed.
        Interrupted: a signal stopped it, which is saved.
    """
    runs = members_of(folder)
    with hold_all([folder, *runs]):
        settings = _settings(folder, runs, config)
        going = [run for run in runs if not _is_over(run, settings[run])]
        if not going:
            return _concluded(folder, runs)
        check_kept(config)
        paths = _common_checkpoints(folder, going)
        parts = assemble_members([settings[run] for run in going])
        sittings = [take_up(*each) for each in zip(parts, going, paths, strict=True)]
        check_environments(sittings, exact)
        (folder / "summary.json").unlink(missing_ok=True)
        return folder, _carried_on([go_back(each) for each in sittings], folder, quiet)


def _carried_on(sittings: Sequence[Sitting], folder: Path, quiet: bool) -> NonFiniteError | None:
    faults = carry_on(sittings, folder, quiet=quiet)
    conclude(folder)
    if not faults:
        return None
    said = "; ".join(f"{run.name}: {fault}" for run, fault in faults.items())
    if len(faults) == len(sittings):
        return NonFiniteError(f"all members in training were lost: {said}")
    were = "was" if len(faults) == 1 else "were"
    return NonFiniteError(f"{len(faults)} of {len(sittings)} members {were} lost, the others went on: {said}")


def _concluded(folder: Path, runs: Sequence[Path]) -> tuple[Path, None]:
    """Write what an ensemble with no member to go on comes to, where its members were trained on alone.

    Raises:
        RunError: it is written already.
    """
    if not is_concluded(folder):
        conclude(folder)
        return folder, None
    if all(map(was_lost, runs)):
        raise RunError(
            f"every member of {folder} was lost, so none can go on: see where with `vae-fn replay {runs[0]}`, then "
            "train anew with other settings, such as a lower --learning-rate"
        )
    raise RunError(f"{folder} is finished: see it with `vae-fn runs {folder}`, or train on with more --epochs")


def _settings(folder: Path, runs: Sequence[Path], config: TrainConfig) -> Mapping[Path, TrainConfig]:
    """The settings with which each run goes on.

    Raises:
        ConfigError: they may not differ from those it has.
    """
    before = {run: read_config(run) for run in runs}
    _check_epochs(folder, {each.epochs for each in before.values()}, config.epochs)
    check_settings(runs[0], before[runs[0]], config)
    found = {run: replace(config, **{name: getattr(old, name) for name in OWN}) for run, old in before.items()}
    for run, old in before.items():
        check_settings(run, old, found[run])
    return found


def _check_epochs(folder: Path, before: Collection[int], now: int) -> None:
    """See that members of which some were trained on alone go on to no fewer epochs than any of them has.

    Raises:
        ConfigError: they do not.
    """
    most = max(before)
    if len(before) > 1 and now < most:
        raise ConfigError(
            f"the members of {folder} have {', '.join(map(str, sorted(before)))} epochs, as some were trained on by "
            f"themselves: use --epochs {most} to bring all there, or more"
        )


def _is_over(run: Path, config: TrainConfig) -> bool:
    """Whether a run is finished, or was lost after its newest checkpoint."""
    newest = next(iter(checkpoints(run)), None)
    if was_lost(run):
        return True
    return newest is not None and (run / "summary.json").exists() and read_record(newest).epoch >= config.epochs


def _common_checkpoints(folder: Path, runs: Sequence[Path]) -> list[Path | None]:
    """The checkpoints of the newest step that all runs have; None for all where one has none yet.

    Raises:
        RunError: they have none in common.
    """
    saved = [saved_steps(run / CHECKPOINTS) for run in runs]
    step = last_common_step(runs)
    if not step and all(saved):
        raise RunError(
            f"the members of {folder} have no checkpoint of one step: go on with each by itself, as with --resume "
            f"{runs[0]}"
        )
    return [steps.get(step) for steps in saved]
