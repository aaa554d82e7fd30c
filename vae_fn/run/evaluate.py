"""The evaluation of a run from its folder alone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from vae_fn import random, tree
from vae_fn.evaluation.elbo import evaluate_elbo
from vae_fn.run.assemble import checksum, make_data, make_model, make_streams
from vae_fn.run.checkpoints import read_model
from vae_fn.run.codes import choose_checkpoint
from vae_fn.run.folder import RunError, open_run, read_config
from vae_fn.run.machine import check_device


def evaluate_run(
    run: Path, draws: int, key: int | None = None, device: str | None = None, checkpoint: str = "newest"
) -> dict[str, Any]:
    """The test ELBO of a run; see `evaluation.elbo.Evaluation` for what the result holds.

    Besides it holds `key`, the name of the `checkpoint`, and the `step` and whole epochs (`epoch`) that it stands at.

    Args:
        run: the run's folder.
        draws: noise draws per image.
        key: seed of the noise, as of a run with this key; None repeats the evaluation that ended the training.
        device: where to compute; None is where the run was trained.
        checkpoint: whose parameters, as in `codes.choose_checkpoint`.

    Raises:
        UserError: the folder is no run, has no such checkpoint, or its device is not here.
    """
    config = read_config(open_run(run))
    config = replace(config, device=device or config.device, key=config.key if key is None else key)
    check_device(config)
    dataset, protocol = make_data(config)
    path = choose_checkpoint(run, checkpoint)
    model = read_model(path, lambda shape: make_model(config, shape))
    if model.record.data != checksum(dataset):
        raise RunError(f"the images are not those that {run} was trained on: restore the data")
    params = tree.map(lambda leaf: leaf.to(config.device), model.params)
    noise = random.fold_in(make_streams(config).evaluation, 0)
    result = evaluate_elbo(model.vae, params, dataset.test.images, protocol, noise, draws=draws)
    stands = {"checkpoint": path.name, "step": model.record.step, "epoch": model.record.epoch}
    return result._asdict() | {"key": key} | stands
