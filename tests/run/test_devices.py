"""What the step of a run reads and makes lies on the run's device: a CUDA graph takes nothing else."""

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from vae_fn import tree
from vae_fn.data import binarisation
from vae_fn.run.assemble import make_family, make_model, make_streams
from vae_fn.run.config import TrainConfig
from vae_fn.run.estimators import TRAITS
from vae_fn.run.values import make_values
from vae_fn.training import Batch, stretches
from vae_fn.training.batches import Batches
from vae_fn.training.stretches import Member, compiled_stretches

SETTINGS = {
    "a weighted KL and a schedule": {"beta": 2.0, "kl_warmup": 3, "schedule": "warmup-cosine", "warmup_steps": 2},
    "a trunk in bfloat16": {"optimizer": "sgd", "free_bits": 0.5, "precision": "bfloat16", "skip_nonfinite": True},
    "fixed pixels": {"binarise": "fixed", "clip_norm": 0.0},
    "all states of classes": {"estimator": "enumeration", "latent_family": "categorical"},
    "all states of layers": {"estimator": "enumeration", "latent_family": "bernoulli-2"},
    **{
        name: {
            "estimator": name,
            "samples": 2,
            "binarise": "dynamic",
            "latent_family": "bernoulli" if traits.latents == "discrete" else "normal",
        }
        for name, traits in TRAITS.items()
    },
}


@pytest.fixture
def meta(monkeypatch, unchecked):
    """The meta device stands in for an accelerator."""

    def elsewhere(settings, change=lambda values: values):
        """What operation made tensors on another device, or holds them, in the step of a run."""
        steps = []
        monkeypatch.setattr(stretches, "compile_epoch", lambda step, **options: steps.append(step))
        config = TrainConfig(hidden=8, batch_size=4, **settings)
        object.__setattr__(config, "device", "meta")
        streams, images = make_streams(config), torch.empty(10, 9, dtype=torch.uint8, device="meta")
        batches, protocol = Batches(images, streams.order, 4), binarisation(config.binarise)
        family = make_family(config, make_model(config, (3, 3)), protocol, 10)
        member = Member(change(make_values(config)), batches, streams)
        compiled_stretches(family, [member])
        state = family(member.values).init(streams.init, Batch(images[:4]))
        traced = make_fx(steps[0])(state, images, batches.order(0), streams)
        made = [(str(n.target), leaf) for n in traced.graph.nodes for leaf in tree.leaves(n.meta.get("val"))]
        return {name for name, each in [*traced.named_buffers(), *made] if not each.is_meta}

    return elsewhere


@pytest.mark.parametrize("case", SETTINGS)
def test_a_step_stays_on_the_runs_device(case, meta):
    assert not meta(SETTINGS[case])


def test_a_value_that_lies_elsewhere_is_found(meta):
    assert meta({}, lambda values: {name: torch.tensor(0.1, dtype=torch.float64) for name in values})
