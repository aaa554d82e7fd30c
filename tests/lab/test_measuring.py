"""What the laboratory measures, against closed forms, exact variances, and estimators that are known to be wrong."""

import math

import pytest
import torch

from vae_fn import lab, random, tree
from vae_fn.compiling import compile_pure
from vae_fn.gradients import from_coefficients
from vae_fn.gradients.estimators import importance
from vae_fn.gradients.oracles.auto import exact
from vae_fn.gradients.posed import Posed
from vae_fn.gradients.published.catalogue import PROBLEMS
from vae_fn.lab import contender, contenders, programs
from vae_fn.verify.problems import bernoulli_decoder

KEY = random.key(7)
SETTINGS = lab.Settings(draws=20_000, data=1)


def cost(name="gaussian-costs", **options):
    return PROBLEMS[name].options(**options).make()


def of(measurement):
    return {(row.estimator, row.samples, row.group): row for row in measurement.rows}


def decoder(latents=1):
    """A small VAE with four data."""
    known = bernoulli_decoder(latents)
    data = torch.stack([known.x, 1 - known.x, known.x.roll(1), torch.ones_like(known.x)])
    return Posed("decoder", known.pose, data, known.params, "the ELBO")


def test_variances_are_the_closed_forms():
    posed = cost(cost="quadratic", k=0.5)
    names = ["pathwise", "reinforce", "antithetic"]
    measured = [contender(name, 2 if name == "antithetic" else 1) for name in names]
    rows = of(lab.measure(measured, posed, posed.params, KEY, SETTINGS))
    exact = {"pathwise": 4 + 4 * 0.25 + 8, "reinforce": 0.5**4 + 14 * 0.25 + 15 + 2 * 0.5**4 + 60 * 0.25 + 74}
    for name, variance in exact.items():
        row = rows[name, 1, "q"]
        assert row.variance_exact == pytest.approx(variance, rel=1e-8)
        assert row.variance_batch is None
        assert row.bias < 5 * row.bias_se
    assert rows["pathwise", 1, "q"].variance_noise == pytest.approx(exact["pathwise"], rel=0.1)
    assert rows["antithetic", 2, "q"].variance_exact == pytest.approx(8)  # of loc none is left


def test_a_biased_estimator_is_seen_and_an_unbiased_one_is_not():
    posed = decoder()
    names = ["iwae", "dreg", "stl-iwae"]
    found = of(lab.measure([contender(name, 3) for name in names], posed, posed.params, KEY, lab.Settings(20_000, 4)))
    for name in ("iwae", "dreg"):
        for group in ("encoder", "decoder", "prior"):
            row = found[name, 3, group]
            assert row.bias < 4 * row.bias_se, row
            assert row.unbiased_for == "the K-sample bound"
    assert found["stl-iwae", 3, "encoder"].bias > 10 * found["stl-iwae", 3, "encoder"].bias_se
    assert found["stl-iwae", 3, "encoder"].unbiased_for.startswith("nothing")


def test_a_biased_estimator_is_held_against_the_target_that_it_means():
    """The decoder of STL in the bound pulls w~, as the bound does."""
    row = of(lab.measure([contender("stl-iwae", 3)], decoder(), decoder().params, KEY, lab.Settings(20_000, 4)))
    assert row["stl-iwae", 3, "decoder"].bias < 4 * row["stl-iwae", 3, "decoder"].bias_se
    assert [contender(name).target for name in ("stl-iwae", "gumbel-softmax", "rws", "dreg", "stl")] == [
        "the K-sample bound",
        "the ELBO",
        "the K-sample bound",
        "the K-sample bound",
        "the ELBO",
    ]


def test_a_wrong_factor_is_measured_as_that_bias():
    def rule(log_weights, beta):
        right = importance.iwae_rule(log_weights, beta)
        return right._replace(joint=1.3 * right.joint)

    wrong = from_coefficients("mine", rule, unbiased_for="the K-sample bound", importance_weighted=True)
    posed = decoder()
    row = of(lab.measure([lab.Contender("mine", wrong, 2)], posed, posed.params, KEY, lab.Settings(20_000, 4)))
    assert row["mine", 2, "decoder"].relative_bias == pytest.approx(0.3, abs=0.05)


def test_rounding_is_no_bias():
    """At the optimum DReG's encoder gradient is zero draw by draw, and what is left is what the oracle allows."""
    posed = cost("linear-vae", dim=3, count=8, perturbation=0.0)
    row = of(lab.measure([contender("dreg", 2)], posed, posed.params, KEY, lab.Settings(64, 2)))["dreg", 2, "encoder"]
    assert row.variance_noise < 1e-20
    assert row.bias < 4 * row.bias_se < 1e-8


def test_a_gradient_that_is_no_number_has_no_bias_either():
    nothing = from_coefficients(
        "nothing",
        lambda log_weights, beta: importance.iwae_rule(log_weights, beta)._replace(joint=torch.nan * log_weights),
        unbiased_for="the K-sample bound",
    )
    posed = decoder()
    rows = lab.measure([lab.Contender("nothing", nothing, 2)], posed, posed.params, KEY, lab.Settings(20, 1)).rows
    assert {(row.to_dict()["bias"], row.to_dict()["variance"]) for row in rows} == {(None, None)}


def test_the_split_says_what_more_samples_and_a_larger_batch_buy():
    posed = decoder()
    measured = [contender("pathwise", 1), contender("pathwise", 2)]
    one, ten = (
        of(lab.measure(measured, posed, posed.params, KEY, lab.Settings(20_000, 4, batch))) for batch in (1, 10)
    )
    for group in ("encoder", "decoder"):
        single, double = one["pathwise", 1, group], one["pathwise", 2, group]
        assert double.variance_noise == pytest.approx(single.variance_noise / 2, rel=0.15)
        assert double.variance_batch == pytest.approx(single.variance_batch, rel=0.15)
        assert ten["pathwise", 1, group].variance == pytest.approx(single.variance / 10, rel=1e-9)
        assert single.variance == pytest.approx(single.variance_noise + single.variance_batch)


def test_the_batch_part_is_the_variance_of_the_exact_gradients():
    posed = decoder()
    row = of(lab.measure([contender("pathwise")], posed, posed.params, KEY, lab.Settings(20_000, 4)))
    grads = [exact(posed.pose(x), posed.params).grads for x in posed.data]
    for group in ("encoder", "decoder"):
        each = torch.stack([torch.cat([leaf.flatten() for leaf in tree.leaves(g[group])]) for g in grads])
        assert row["pathwise", 1, group].variance_batch == pytest.approx(each.var(0).sum().item(), rel=0.05)


def test_noise_alone_has_the_signal_of_the_floor():
    """At the optimum the encoder's pathwise gradient has mean zero for every datum; away from it, it has not."""
    at, off = (cost("linear-vae", dim=8, count=8, perturbation=size) for size in (0.0, 0.5))
    none, some = (
        of(lab.measure([contender("pathwise")], posed, posed.params, KEY, lab.Settings(4_096, 1)))
        for posed in (at, off)
    )
    row = none["pathwise", 1, "encoder"]
    assert row.snr_floor == pytest.approx(math.sqrt(2 / (math.pi * row.draws)))
    assert 0.1 < row.snr / row.snr_floor < 3  # the coordinates of one datum move together, as few do
    assert some["pathwise", 1, "encoder"].snr > 50 * row.snr_floor


def test_a_state_is_warmed_up_and_then_held():
    posed = cost("one-bernoulli")
    cold, warm = (
        of(lab.measure([contender("relax")], posed, posed.params, KEY, lab.Settings(4_096, 1, 1, steps)))
        for steps in (0, 300)
    )
    assert warm["relax", 1, "q"].variance_exact < cold["relax", 1, "q"].variance_exact


def test_what_cannot_be_had_is_none():
    posed = decoder(latents=4)
    found = lab.measure([contender("dreg", 4)], posed, posed.params, KEY, lab.Settings(64, 2))
    row = found.rows[0]
    assert row.bias is row.bias_se is row.relative_bias is row.cosine is row.variance_exact is None
    assert "quadrature takes at most 3" in found.oracles["the K-sample bound", 4]
    assert all(value is None or math.isfinite(value) for value in row.to_dict().values() if isinstance(value, float))


def test_rows_by_leaf_sum_to_the_group():
    posed = decoder()
    settings = lab.Settings(2_000, 4)
    group = of(lab.measure([contender("stl")], posed, posed.params, KEY, settings))["stl", 1, "encoder"]
    leaves = lab.measure([contender("stl")], posed, posed.params, KEY, settings, rows_of=lab.by_leaf).rows
    mine = [row.variance_noise for row in leaves if row.group.startswith("encoder/")]
    assert sum(mine) == pytest.approx(group.variance_noise)


def test_costs_are_counted():
    posed = cost("one-bernoulli")
    rows = of(lab.measure([contender("disarm"), contender("rloo", 3)], posed, posed.params, KEY, lab.Settings(64)))
    assert (rows["disarm", 1, "q"].forward, rows["rloo", 3, "q"].forward) == (2, 3)
    assert rows["rloo", 3, "q"].milliseconds > 0


def test_too_few_draws_are_refused():
    posed = decoder()
    with pytest.raises(ValueError, match="7 draws of 4 data leave fewer than two for each"):
        lab.measure([contender("stl")], posed, posed.params, KEY, lab.Settings(7, 4))


def test_a_closed_kl_is_taken_where_there_is_one():
    posed, plain, chained = decoder(), cost(), cost("rainforth", dim=2, count=3)
    closed = contender("pathwise").posing(posed.pose, posed.data, posed.params)(posed.data)
    assert (closed.p, closed.beta) == (None, 0.0)
    assert contender("pathwise-sampled").posing(posed.pose, posed.data, posed.params) is posed.pose
    assert contender("pathwise").posing(plain.pose, (), plain.params) is plain.pose
    assert not contenders.has_closed_kl(closed, posed.params)
    assert contenders.has_closed_kl(chained.problem, chained.params)
    with pytest.raises(ValueError, match="no sampled KL"):
        contenders.with_closed_kl(closed)


def edge(fn):
    return compile_pure(fn, backend="aot_eager")


def test_a_compiled_chunk_draws_the_same(fresh_compiler, monkeypatch):
    monkeypatch.setattr(programs, "WORTH", 0)
    posed = decoder()
    settings = lab.Settings(64, 2)
    plain = lab.measure([contender("dreg", 2)], posed, posed.params, KEY, settings).rows
    compiled = lab.measure([contender("dreg", 2)], posed, posed.params, KEY, settings, edge=edge).rows
    for a, b in zip(plain, compiled, strict=True):
        assert a.variance_noise == pytest.approx(b.variance_noise, rel=1e-10)
