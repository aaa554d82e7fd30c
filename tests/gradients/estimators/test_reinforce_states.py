"""The states of score functions with baselines follow the steps before."""

import pytest
import torch

from tests.gradients.estimators.stirred import decayed_mean
from tests.gradients.references import gradient
from tests.models.toys import bits, learned_prior, normals, parameters, small_vae
from vae_fn import tree
from vae_fn.gradients import elbo_sampled_problem
from vae_fn.gradients.estimators import nvil, reinforce, reinforce_moving_average, reinforce_optimal
from vae_fn.optimization.optimizers import sgd


def steps(estimator, problem, params, noises):
    """The state before each step and after the last, and the objectives seen."""
    states, seen = [estimator.init(problem, params)], []
    for noise in noises:
        found = estimator.estimate(problem, params, noise, states[-1])
        states.append(found.state)
        seen.append(found.info.log_weights)
    return states, seen


def problem_and_noise(count=4):
    vae = learned_prior(small_vae(3, 2), 2)
    return elbo_sampled_problem(vae, bits(0, 5, 3)), parameters(vae, 0), [normals(i, 2, 5, 2) for i in range(count)]


def test_the_moving_average_is_of_the_steps_before():
    problem, params, noises = problem_and_noise()
    estimator = reinforce_moving_average(0.8)
    states, seen = steps(estimator, problem, params, noises)
    assert states[0] == (0, 0)
    for n in range(1, 5):
        expected = decayed_mean([f.mean().item() for f in seen[:n]], 0.8)
        assert (states[n].total / states[n].weight).item() == pytest.approx(expected, rel=1e-12)
    first = estimator.estimate(problem, params, noises[0], states[0])
    plain = reinforce().estimate(problem, params, noises[0], ())
    assert all(map(torch.equal, tree.leaves(first.grads), tree.leaves(plain.grads)))


def test_the_best_baseline_follows_the_moments_of_the_steps_before():
    problem, params, noises = problem_and_noise()
    states, seen = steps(reinforce_optimal(0.8), problem, params, noises)
    q = problem.q(params)
    for n in range(1, 5):
        (squares,), (weighted,) = states[n]
        for name, score in {"loc": lambda e: e / q.scale, "scale": lambda e: (e**2 - 1) / q.scale}.items():
            of = [score(e) ** 2 for e in noises[:n]]
            by_f = [f.unsqueeze(-1) * s for f, s in zip(seen, of, strict=False)]
            for i in range(2):
                weight = 1 - 0.8**n
                for found, values in ((squares, of), (weighted, by_f)):
                    mean = decayed_mean([v[..., i].mean().item() for v in values], 0.8)
                    assert getattr(found, name)[i].item() == pytest.approx(weight * mean, rel=1e-12)


def test_the_network_descends_the_squared_error():
    """By autograd, one step of plain descent; the running mean is of what the network of that step misses."""
    problem, params, noises = problem_and_noise()
    estimator = nvil(0.8, optimizer=sgd(0.05))
    states, seen = steps(estimator, problem, params, noises)
    q = problem.q(params)
    x, missed = torch.cat([q.loc, q.scale], -1).detach(), []

    def predict(net):
        hidden = torch.tanh(x @ net["hidden"]["weight"].T + net["hidden"]["bias"])
        return (hidden @ net["out"]["weight"].T + net["out"]["bias"]).squeeze(-1)

    for n, f in enumerate(seen):
        centre = decayed_mean(missed, 0.8) if missed else 0.0
        slope = gradient(lambda net, f=f, c=centre: ((f - predict(net) - c) ** 2).mean(), states[n].network)
        expected = tree.map(lambda p, g: p - 0.05 * g, states[n].network, slope)
        for mine, theirs in zip(tree.leaves(states[n + 1].network), tree.leaves(expected), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-11, atol=1e-13)
        missed.append((f - predict(states[n].network)).mean().item())
        found = states[n + 1].missed
        assert (found.total / found.weight).item() == pytest.approx(decayed_mean(missed, 0.8), rel=1e-11)


@pytest.mark.parametrize("make", [reinforce_moving_average, nvil, reinforce_optimal])
@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_a_decay_out_of_range_is_refused(make, decay):
    with pytest.raises(ValueError, match=r"in \[0, 1\)"):
        make(decay)
