"""Trees of parameters and gradients, the paths that an optimizer takes from them, and their comparison."""

import itertools

import torch
from hypothesis import strategies as st

from vae_fn import tree

STEPS = 25
SHAPES = st.lists(st.lists(st.integers(1, 4), max_size=2).map(tuple), min_size=1, max_size=3)
SEEDS = st.integers(0, 2**32)


def random_tree(shapes, seed, scale=1.0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    leaves = [scale * torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]
    return {"encoder": dict(enumerate(leaves[:1])), "decoder": dict(enumerate(leaves[1:]))}


def random_grads(shapes, seed, steps=STEPS, dtype=torch.float64):
    """Gradients of very different sizes from step to step, some of them zero."""
    sizes = itertools.cycle([1.0, 1e-6, 0.0, 1e3, 0.1])
    return [random_tree(shapes, seed + 1 + step, next(sizes), dtype) for step in range(steps)]


def trajectory(optimizer, params, grads):
    """The parameters' leaves after every update."""
    state, path = optimizer.init(params), []
    for grad in grads:
        params, state = optimizer.update(grad, state, params)
        path.append(tree.leaves(params))
    return path


def torch_trajectory(make, params, grads, make_scheduler=None, before=lambda param: None):
    leaves = [leaf.clone().requires_grad_() for leaf in tree.leaves(params)]
    optimizer, path = make(leaves), []
    scheduler = make_scheduler(optimizer) if make_scheduler else None
    for grad in grads:
        for leaf, leaf_grad in zip(leaves, tree.leaves(grad), strict=True):
            leaf.grad = leaf_grad.clone()
            before(leaf.data)
        optimizer.step()
        if scheduler:
            scheduler.step()
        path.append([leaf.detach().clone() for leaf in leaves])
    return path


def check_movement(path, expected_path, start, rtol=1e-12):
    """Equal movements; the absolute tolerance is the rounding of the parameters themselves."""
    for step, (actual, expected) in enumerate(zip(path, expected_path, strict=True), start=1):
        for a, e, s in zip(actual, expected, tree.leaves(start), strict=True):
            atol = step * torch.finfo(s.dtype).eps * max(a.abs().max(), s.abs().max())
            torch.testing.assert_close(a - s, e - s, rtol=rtol, atol=atol.item())
