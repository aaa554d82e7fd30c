"""The README's code, run as it stands (on fewer images)."""

import re
from pathlib import Path

import pytest
import torch

from vae_fn import data, random
from vae_fn.data import Dataset, Split

ROOT = Path(__file__).parent.parent
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def run(block: str) -> dict:
    names: dict = {}
    with torch.random.fork_rng():  # the reader's modules draw their own initial values
        exec(block, names)
    return names


@pytest.fixture
def few_images(monkeypatch):
    mnist = data.load_mnist()
    few = Split(mnist.train.images[:300], mnist.train.labels[:300])
    monkeypatch.setattr(data, "load_mnist", lambda: Dataset(few, None, few, (28, 28)))


def test_the_pure_step_runs_and_is_short(few_images, fresh_compiler):
    assert len(BLOCKS[0].splitlines()) <= 25
    info = run(BLOCKS[0])["info"]
    assert 200 < info.loss < 560


def test_a_model_of_ones_own_takes_ten_lines():
    assert len(BLOCKS[1].splitlines()) <= 10
    names = run(BLOCKS[1])
    q = names["vae"].posterior(names["params"], torch.rand(3, 784, generator=torch.Generator().manual_seed(0)), None)
    assert q.sample(random.normal(random.key(1), (5, 3, 20))).shape == (5, 3, 20)


def test_an_estimator_of_ones_own_is_one():
    estimator = run(BLOCKS[2])["sticking_the_landing"]
    assert estimator.unbiased_for == "the ELBO"


def test_the_verification_kit_in_five_lines(tmp_path, monkeypatch):
    assert "verify.unbiased" in BLOCKS[3]
    (tmp_path / "my_file.py").write_text(BLOCKS[2])
    monkeypatch.syspath_prepend(tmp_path)
    run(BLOCKS[3])


def test_every_script_and_command_that_it_names_exists():
    text = (ROOT / "README.md").read_text()
    for script in set(re.findall(r"scripts/\w+", text)):
        assert (ROOT / script).stat().st_mode & 0o111, script
    for page in re.findall(r"\]\((docs/[\w.]+)\)", text):
        assert (ROOT / page).is_file()
