import math

import numpy as np
import pytest
from scipy import stats

from vae_fn.run import captions
from vae_fn.viz import Deviation


def rows(*elbos, split="train", norms=None):
    norms = norms or [None] * len(elbos)
    return [{"split": split, "elbo": elbo, "grad_norm": norm} for elbo, norm in zip(elbos, norms, strict=True)]


def test_loss_curves_end_at_their_last_finite_values():
    found = captions.loss_curves([*rows(-200.0, -150.04, None), *rows(-151.26, split="validation")])
    assert "\N{MINUS SIGN}150.0 on training images and at \N{MINUS SIGN}151.3 on validation images" in found
    assert "ends" not in captions.loss_curves(rows(None))


def test_gradients_above_the_threshold_are_counted():
    found = captions.gradient_norm(rows(0, 0, 0, 0, norms=[1.5, 1.0, None, 70.0]), 1.0)
    assert "2 of 3 points lie above" in found
    assert "1 of 1 point lies above" in captions.gradient_norm(rows(0, norms=[1.5]), 1.0)
    assert "not clipped" in captions.gradient_norm(rows(0, norms=[3.0]), 0.0)


def test_the_share_of_draws_near_the_prior_mean_is_beside_the_priors():
    draws = np.array([[0.0, 0.0], [1.9, 0.0], [1.5, 1.5], [0.0, -3.0]])
    found = captions.latent_histogram(draws)
    assert "50.0 % lie within" in found
    assert f"holds {100 * stats.chi2.cdf(4, 2):.1f} % of the prior" in found


@pytest.mark.parametrize("n", [1_000, 10_000])
def test_what_chance_allows_is_the_law_of_the_distance(n):
    assert captions.CRITICAL / math.sqrt(n) == pytest.approx(stats.kstwo.isf(0.05, n), rel=0.01)


def test_marginals_advise_on_beta_only_where_chance_does_not_explain_the_distance():
    near, far = Deviation(0, 0.012, 0.0, 1.0), Deviation(6, 0.1114, 0.3, 1.2)
    found = captions.marginals([near, far, near], 10_000, 0.5)
    assert "z₇, at a KS distance of 0.111;" in found
    assert "below 0.014" in found
    assert "--beta (here 0.5)" in found
    assert "beta" not in captions.marginals([near], 10_000, 1.0)
    assert "beta" not in captions.marginals([far], 100, 1.0)  # so few draws are often that far


def test_interpolations_name_the_classes_if_there_are_some():
    assert "2 pairs (0 to 1, 2 to 7)," in captions.interpolations(2, ["0 to 1", "2 to 7"])
    assert "2 pairs, " in captions.interpolations(2, [])
    assert "in 1 pair, " in captions.interpolations(1, [])


def test_kl_is_summed_and_latents_in_use_are_counted():
    found = captions.kl_by_dimension(np.array([2.0, 1.25, 0.001]))
    assert "3.25 in all. There 2 of 3 latents are in use" in found
    assert "1 of 1 latent is in use" in captions.kl_by_dimension(np.array([1.0]))


def test_a_scatter_names_its_latents_where_it_chose_them():
    chosen = captions.latent_scatter(12, (6, 8), grouped=True)
    assert "z₇ and z₉ are the most active of 12 latents" in chosen
    assert "classes" in chosen
    found = captions.latent_scatter(2, (0, 1), grouped=False)
    assert "active" not in found
    assert "colour" not in found


def test_traversals_say_how_many_of_the_latents_are_moved():
    assert "one latent" in captions.traversals(1, 1)
    assert "each of the 5 latents" in captions.traversals(5, 5)
    assert "the 16 most active of 40 latents" in captions.traversals(40, 16)


def test_reconstructions_and_samples_state_their_numbers():
    assert "off by 0.123 on average" in captions.reconstructions(30, 0.1234)
    assert "64 latents" in captions.samples(64)
    assert "20 by 20" in captions.manifold(20)
