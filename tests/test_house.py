"""The laws of the house, held against the source itself."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "vae_fn"
SOURCES = sorted(PACKAGE.rglob("*.py"))
FLOORS = {
    "errors": 0,
    "types": 0,
    "tree": 0,
    "random": 0,
    "philox": 0,
    "words": 0,
    "distributions": 0,
    "optimization": 0,
    "data": 0,
    "models": 1,
    "gradients": 2,
    "compiling": 3,
    "training": 3,
    "bench": 4,
    "evaluation": 4,
    "lab": 4,
    "verify": 4,
    "viz": 4,
    "run": 5,
    "cli": 5,
}


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def upward_imports(part: str, source: str) -> list[str]:
    """The modules of the package that `source` imports from a floor above that of `part`."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            root, _, rest = name.partition(".")
            if root == "vae_fn" and rest and FLOORS[rest.split(".")[0]] > FLOORS[part]:
                found.append(name)
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_are_short_and_imports_run_downwards(path):
    source = path.read_text()
    assert len(source.splitlines()) <= 250
    assert path.name != "utils.py"
    if path.parent != PACKAGE or path.stem != "__init__":
        assert upward_imports(part_of(path), source) == []


def test_an_upward_import_is_seen():
    assert upward_imports("models", "from vae_fn.training import step") == ["vae_fn.training.step"]
    assert upward_imports("random", "import vae_fn.models.vae") == ["vae_fn.models.vae"]


def names_used(source: str) -> set[str]:
    return {ast.unparse(node) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)}


def test_compiling_happens_in_one_place_and_no_gradient_is_overridden():
    users = {str(path.relative_to(PACKAGE)) for path in SOURCES if "torch.compile" in names_used(path.read_text())}
    assert users == {"compiling/pure.py"}
    assert [path for path in SOURCES if overriding(path.read_text())] == []


def overriding(source: str) -> set[str]:
    """The names in a source of torch's classes for gradients of one's own, imported or reached through a module."""
    nodes = list(ast.walk(ast.parse(source)))
    imported = {name.name for node in nodes if isinstance(node, ast.ImportFrom) for name in node.names}
    reached = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return (imported | reached) & {"Function", "InplaceFunction", "NestedIOFunction"}


@pytest.mark.parametrize(
    "source",
    [
        "import torch\nclass A(torch.autograd.Function): ...",
        "from torch.autograd import Function",
        "from torch.autograd.function import Function as F",
        "import torch.autograd as ag\nag.Function",
        "import torch\nag = torch.autograd\nag.Function",
        "import torch\ntorch.autograd.function.NestedIOFunction",
    ],
)
def test_a_gradient_of_ones_own_is_seen(source):
    assert overriding(source)


def test_the_median_file_is_short():
    lengths = sorted(len(path.read_text().splitlines()) for path in SOURCES)
    assert lengths[len(lengths) // 2] <= 150


BARE = """
import sys

for name in ("tqdm", "safetensors", "tyro", "tomli_w", "matplotlib", "tensorboard", "torchvision"):
    sys.modules[name] = None  # an import of it fails
from vae_fn import data, gradients, models, random, training
from vae_fn.gradients import estimators

streams = random.streams(random.key(0))
images = data.load_mnist().train.images[:8]
algorithm = training.make_step(
    models.tutorial(), gradients.elbo_problem, estimators.pathwise(), training.adamw(1e-3), binarisation=data.GREY
)
state = algorithm.init(streams.init, training.Batch(images))
state, info = training.step_by_shape(algorithm)(state, training.Batch(images), streams)
assert 500 < float(info.loss) < 600, info
"""


def test_training_needs_torch_numpy_and_jaxtyping_alone():
    subprocess.run([sys.executable, "-c", BARE], check=True)


BARE_TIMING = """
import sys

for name in ("tqdm", "safetensors", "tyro", "tomli_w", "matplotlib", "tensorboard", "torchvision", "tabulate"):
    sys.modules[name] = None  # an import of it fails
import torch
from vae_fn import bench
from vae_fn.bench.parity import exact_parameters

subject = bench.own(lambda state, x: (state + x, x.sum()), torch.zeros(3), torch.ones(3))
assert exact_parameters(subject).tolist() == [20, 20, 20]
"""


def test_timing_needs_torch_numpy_and_jaxtyping_alone():
    subprocess.run([sys.executable, "-c", BARE_TIMING], check=True)
