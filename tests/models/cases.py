"""What the tests of objectives have in common: models, draws, and when two numbers are equal."""

import torch
from hypothesis import strategies as st

from tests.models.toys import learned_prior, small_vae
from vae_fn.models import heads, objectives

SEED = st.integers(0, 2**31)
BATCH = st.sampled_from([(), (1,), (4,), (2, 3)])
SAMPLES = st.integers(1, 4)
POSTERIORS = {"normal": heads.normal, "laplace": heads.laplace, "full": heads.full_normal}
OBJECTIVES = {"elbo": objectives.elbo, "elbo_sampled": objectives.elbo_sampled, "iwae": objectives.iwae}


def model(posterior="normal", learned=True, data=3, latents=2):
    vae = small_vae(data, latents, posterior=POSTERIORS[posterior])
    return learned_prior(vae, latents) if learned else vae


def close(actual, expected, rtol=1e-12):
    torch.testing.assert_close(actual, expected, rtol=rtol, atol=rtol)
