"""The rows of the comparison. A new form of this package's step is a line in `OURS`, and one in `ours.FORMS`."""

from process import Row

REFERENCE = "this package, compiled step"

OURS = [
    Row(f"this package, {name}", "vae_fn", options.get("precision", "float32"), "ours.py", options)
    for name, options in {
        "eager": {"form": "eager"},
        "compiled step": {"form": "step"},
        "compiled step, MKL": {"form": "step", "gemm": "torch"},
        "compiled step, oneDNN": {"form": "step", "gemm": "onednn"},
        "compiled epoch": {"form": "epoch"},
        "compiled step, bfloat16": {"form": "step", "precision": "bfloat16"},
        "compiled epoch, bfloat16": {"form": "epoch", "precision": "bfloat16"},
    }.items()
]
"""Without `gemm` it is what the package takes by itself on this processor."""

MODULE = [
    Row("nn.Module, eager", "PyTorch", "float32", "in_module.py", {"compile": ""}),
    Row("nn.Module, compiled", "PyTorch", "float32", "in_module.py", {"compile": "model"}),
    Row("nn.Module and optimizer, compiled", "PyTorch", "float32", "in_module.py", {"compile": "model and optimizer"}),
    Row("nn.Module, compiled, autocast", "PyTorch", "bfloat16", "in_module.py", {"compile": "model", "autocast": True}),
]

JAX = [
    Row(
        f"JAX, {'scan' if scan else 'jit'}{', bfloat16' if precision == 'bfloat16' else ''}",
        "JAX",
        precision,
        "in_jax.py",
        {"scan": scan, "precision": precision},
    )
    for precision in ("float32", "bfloat16")
    for scan in (False, True)
]

TUTORIAL = [
    Row("the tutorial, data loader", "PyTorch", "float32", "in_tutorial.py", {"loader": True}),
    Row("the tutorial, data in memory", "PyTorch", "float32", "in_tutorial.py", {"loader": False}),
]

TRAINERS = [
    Row("Lightning", "Lightning", "float32", "in_lightning.py", {"compile": False}),
    Row("Lightning, compiled", "Lightning", "float32", "in_lightning.py", {"compile": True}),
    Row("Pythae", "Pythae", "float32", "in_pythae.py", {}),
]

ROWS = [*OURS, *MODULE, *JAX, *TRAINERS, *TUTORIAL]
