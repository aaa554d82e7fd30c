import json
import os
import subprocess

import torch

from vae_fn.run import environment as module
from vae_fn.run.environment import environment


def test_environment():
    described = environment(device="cpu", generator="philox")
    assert list(described) == [
        *("python", "vae_fn", "torch", "numpy", "platform", "processor"),
        *("device", "threads", "generator", "git", "command"),
    ]
    assert described["torch"] == torch.__version__
    assert described["generator"] == "philox"
    assert described["threads"] == torch.get_num_threads()
    json.dumps(described, allow_nan=False)


def test_commit_of_a_checkout(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)

    def git(*args):
        identity = ("-c", "user.name=a", "-c", "user.email=a@b")
        command = ["git", "-C", tmp_path, *identity, *args]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    package = tmp_path / "package"
    package.mkdir()
    (package / "a.py").write_text("")
    assert module._checkout(package) is None
    git("init")
    assert module._checkout(package) is None
    git("add", ".")
    git("commit", "-m", "a")
    assert module._checkout(package) == {"commit": git("rev-parse", "HEAD"), "dirty": False}
    (package / "b.py").write_text("")
    assert module._checkout(package) == {"commit": git("rev-parse", "HEAD"), "dirty": True}
    (tmp_path / "site-packages").mkdir()
    assert module._checkout(tmp_path / "site-packages") is None
