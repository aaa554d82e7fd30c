"""The step in JAX with Optax: jitted with donated state, a call a step, or `lax.scan` over many of them.

Members take turns of a call, or each step is `vmap`ped over them.
"""

import functools
import itertools
import math
from typing import Any

import numpy as np
import program
import task
from program import Program
from task import Given, Task


def build(sizes: Task, given: Given, options: dict[str, Any]) -> Program:
    """The program; `scan` takes a chunk of steps a call, `precision` is that of the trunk, `vmap` takes all members."""
    import jax
    import optax

    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3, weight_decay=1e-2))
    step, beside = make_step(sizes, given, options["precision"], optimizer), options.get("vmap", False)
    order, chunk = task.batches(len(given.images), sizes.batch), sizes.chunk if options["scan"] else 1
    if beside:
        step = jax.vmap(step, (None, 0, 0, 0))

    def many(images: Any, state: Any, rows: Any, noise: Any = None) -> Any:
        return jax.lax.scan(lambda carry, inputs: step(images, carry, *inputs), state, (rows, noise))

    take = jax.jit(many if options["scan"] else step, donate_argnums=1)
    take = functools.partial(take, jax.numpy.asarray(given.images))

    def start(member: int) -> Any:
        params = {name: jax.tree.map(jax.numpy.array, task.layers(given.weights, name)) for name in NETS}
        return params, optimizer.init(params), jax.random.key(member)

    def starts() -> list[Any]:
        """The states that calls advance."""
        own = [start(member) for member in range(sizes.members)]
        return [jax.tree.map(lambda *leaves: jax.numpy.stack(leaves), *own)] if beside else own

    states, shape = starts(), (chunk, sizes.members, sizes.batch) if beside else (chunk, sizes.batch)

    def run(steps: int) -> None:
        for _ in range(steps // chunk):
            for number, state in enumerate(states):
                rows = np.stack(list(itertools.islice(order, math.prod(shape[:-1])))).reshape(shape)
                states[number], _ = take(state, rows if options["scan"] else rows[0], None)
        jax.block_until_ready(states)

    def replay(rows: np.ndarray, noise: np.ndarray) -> list[float]:
        replayed = starts()[0]
        if beside:
            rows, noise = (np.repeat(array[:, None], sizes.members, 1) for array in (rows, noise))
        if options["scan"]:
            by_member = np.asarray(take(replayed, rows, noise)[1]).reshape(len(rows), -1)
            np.testing.assert_allclose(by_member, by_member[:, :1].repeat(by_member.shape[1], 1), rtol=1e-4)
            return by_member[:, 0].tolist()
        losses = []
        for chosen, drawn in zip(rows, noise, strict=True):
            replayed, value = take(replayed, chosen, drawn)
            losses.append(float(value))
        return losses

    return Program(run, replay, chunk)


def make_step(sizes: Task, given: Given, precision: str, optimizer: Any) -> Any:
    """`step(images, state, rows, noise)`; without noise, None, it draws its own."""
    import jax
    import optax

    differentiate = by_slices(jax.value_and_grad(make_loss(sizes, precision)), sizes)

    def step(images: Any, state: Any, rows: Any, noise: Any) -> Any:
        params, moments, key = state
        key, draw = jax.random.split(key)
        if noise is None:
            noise = jax.random.normal(draw, given.noise.shape[1:])
        value, grads = differentiate(params, images[rows], noise)
        updates, moments = optimizer.update(grads, moments, params)
        return (optax.apply_updates(params, updates), moments, key), value

    return step


NETS = ("encoder", "decoder")


def by_slices(differentiate: Any, sizes: Task) -> Any:
    """The value and gradient of the batch's mean as the mean over its slices, taken one after the other."""
    import jax

    if not sizes.microbatch:
        return differentiate
    count, size = sizes.batch // sizes.microbatch, sizes.microbatch

    def differentiate_slices(params: Any, pixels: Any, noise: Any) -> Any:
        slices = pixels.reshape(count, size, -1), noise.reshape(len(noise), count, size, -1).swapaxes(0, 1)
        zeros = jax.numpy.zeros(()), jax.tree.map(jax.numpy.zeros_like, params)

        def add(total: Any, inputs: Any) -> Any:
            return jax.tree.map(jax.numpy.add, total, differentiate(params, *inputs)), None

        return jax.tree.map(lambda leaf: leaf / count, jax.lax.scan(add, zeros, slices)[0])

    return differentiate_slices


def make_loss(sizes: Task, precision: str) -> Any:
    """`loss(params, pixels, noise)`: minus the ELBO, or minus the bound of K samples; heads are float32."""
    from jax import nn
    from jax import numpy as jnp

    def apply(layers: Any, x: Any) -> Any:
        x = x.astype(precision)
        for number, (weight, bias) in enumerate(layers):
            x = nn.silu(x) if number else x
            x = x @ weight.astype(precision).T + bias.astype(precision)
        return x.astype(jnp.float32)

    def loss(params: Any, pixels: Any, noise: Any) -> Any:
        x = pixels.astype(jnp.float32) / 255
        loc, raw = jnp.split(apply(params["encoder"], x - 0.5), 2, -1)
        scale = nn.softplus(raw) + 1e-8
        z = loc + scale * noise
        logits = apply(params["decoder"], z)
        likelihood = (x * logits - nn.softplus(logits)).sum(-1)
        if sizes.objective == "iwae":
            ratio = (jnp.log(scale) + 0.5 * (noise**2 - z**2)).sum(-1)
            return (jnp.log(sizes.samples) - nn.logsumexp(likelihood + ratio, 0)).mean()
        kl = (0.5 * (loc**2 + scale**2 - 1) - jnp.log(scale)).sum(-1)
        return (kl - likelihood.mean(0)).mean()

    return loss


if __name__ == "__main__":
    program.serve(build)
