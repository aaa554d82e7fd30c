"""The evaluation of a run from its folder alone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from vae_fn import random, tree
from vae_fn.evaluation.elbo import evaluate_elbo
from vae_fn.run.assemble import check_device, make_data, make_model, make_streams
from vae_fn.run.folder import open_run, read_config
from vae_fn.run.parameters import load_parameters
from vae_fn.run.train import PARAMETERS


def evaluate_run(run: Path, draws: int, key: int | None = None, device: str | None = None) -> dict[str, Any]:
    """The test ELBO of a finished run; see `evaluation.elbo.Evaluation` for what the result holds.

    Args:
        run: the run's folder.
        draws: noise draws per image.
        key: seed of the noise, as of a run with this key; None repeats the evaluation that ended the training.
        device: where to compute; None is where the run was trained.

    Raises:
        UserError: the folder is no finished run, or its device is not here.
    """
    config = read_config(open_run(run))
    config = replace(config, device=device or config.device, key=config.key if key is None else key)
    check_device(config)
    vae = make_model(config)
    params = tree.map(lambda leaf: leaf.to(config.device), load_parameters(run / PARAMETERS, vae))
    dataset, protocol = make_data(config)
    noise = random.fold_in(make_streams(config).evaluation, 0)
    result = evaluate_elbo(vae, params, dataset.test.images, protocol, noise, draws=draws)
    return result._asdict() | {"key": key}
