"""Mistakes with one's own code: each is one line that says what is expected, and exit status 2."""

import re

import pytest

from vae_fn.cli.main import main

FILES = {
    "raising.py": "import torch\n\nratio = 1 / 0\n",
    "broken.py": "def f(:\n    pass\n",
    "lacking.py": "import torch\nimport torchh\n",
    "leaving.py": "import sys\n\nsys.exit(3)\n",
    "math.py": "x = 1\n",
    "mine.py": """import torch
from vae_fn import training
from vae_fn.distributions import Normal
from vae_fn.gradients import estimators
from vae_fn.verify import Example

number = 3
twin = torch.distributions.Normal(0.0, 1.0)
q = Normal(torch.zeros(2), torch.ones(2))
stl = estimators.sticking_the_landing()
short = training.Optimizer(lambda params: (), lambda grads, params: (params, ()))
algorithm = training.Algorithm(None, None, None, None, None)


def double(x):
    return 2 * x


def failing(x):
    return x @ torch.ones(5)


def factory():
    return Normal(torch.zeros(2))


def named(x):
    return "x"


def nothing():
    return torch.ones(())


def one():
    return (torch.ones(3),)


def two():
    return torch.ones(3), torch.ones(3)


def bare():
    return torch.ones(3)


def words():
    return ("x",)


def unlike():
    return Example((torch.ones(3),), batched=(0, None))
""",
}

HAS = "Normal, Optimizer, algorithm, bare"

MISTAKES = [
    ("", "missing argument: MODULE:OBJECT, see --help."),
    ("mine.py", "give MODULE:OBJECT, such as my_file.py:my_estimator, not 'mine.py'"),
    ("mine.py:", "give MODULE:OBJECT, such as my_file.py:my_estimator, not 'mine.py:'"),
    (":q", "give MODULE:OBJECT, such as my_file.py:my_estimator, not ':q'"),
    ("mine.py:q.1", "give MODULE:OBJECT, such as my_file.py:my_estimator, not 'mine.py:q.1'"),
    ("nowhere.py:q", "there is no file nowhere.py"),
    ("no/where.py:q", "there is no file no/where.py"),
    ("nowhere:q", "there is no module 'nowhere' here or installed: a file is given by its path"),
    ("vae_fn.nowhere:q", "there is no module 'vae_fn.nowhere' here or installed: a file is given by its path"),
    ("mine:dobule", "mine has no 'dobule'. Did you mean double?"),
    ("mine.py:q.sacle", "mine.py has no 'q.sacle'. Did you mean scale?"),
    (
        "vae_fn.gradients.estimators:pathwis",
        "vae_fn.gradients.estimators has no 'pathwis'. Did you mean pathwise?",
    ),
    ("math.py:x", "math.py has the name of a module that is in use, math: rename it"),
    (
        "raising.py:x",
        "raising.py cannot be imported: it raised ZeroDivisionError: division by zero (raising.py, line 3)",
    ),
    ("raising:x", "raising cannot be imported: it raised ZeroDivisionError: division by zero (raising.py, line 3)"),
    ("broken.py:f", "broken.py cannot be imported: invalid syntax (broken.py, line 1)"),
    (
        "lacking.py:x",
        "lacking.py cannot be imported: it raised ModuleNotFoundError: No module named 'torchh' (lacking.py, line 2)",
    ),
    ("leaving.py:x", "leaving.py cannot be imported: it raised SystemExit: 3 (leaving.py, line 3)"),
    (
        "mine.py:q --as distribtion",
        "--as takes one of estimator, distribution, optimizer, step, function, not 'distribtion'. Did you mean "
        "distribution?",
    ),
    ("mine.py:q --mutat", "unknown option '--mutat'. Did you mean --mutate?"),
    ("mine.py:q --args", "--args needs a value: a text."),
    ("mine.py:q --args mine.py", "--args takes MODULE:OBJECT, such as my_file.py:my_estimator, not 'mine.py'"),
    ("mine.py:q mine.py:p", "unexpected argument 'mine.py:p': it belongs to no option, see --help."),
    ("mine.py:q --json no/x.json", "--json must be a file in an existing folder that you may write to, not no/x.json"),
    (
        "mine.py:number",
        "mine.py:number is an object of type int: give an estimator, a distribution, an optimizer, a step or a "
        "function",
    ),
    (
        "mine.py:nothing",
        "mine.py:nothing returns an object of type torch.Tensor: give an estimator, a distribution, an optimizer, a "
        "step or a function",
    ),
    (
        "vae_fn.distributions:Normal",
        "vae_fn.distributions:Normal is the class Normal: give an estimator, a distribution, an optimizer, a step or "
        "a function",
    ),
    (
        "mine.py:q --as estimator",
        "mine.py:q is an object of type vae_fn.distributions.normal.Normal: give a vae_fn.gradients.Estimator, or a "
        "function without arguments that returns one",
    ),
    (
        "mine.py:twin --as distribution",
        "mine.py:twin is an object of type torch.distributions.normal.Normal: give a NamedTuple of tensors with the "
        "methods of vae_fn.distributions.Family, or a function without arguments that returns one",
    ),
    (
        "vae_fn.training:adam --as optimizer",
        "vae_fn.training:adam is a function of (learning_rate, b1, b2, eps, weight_decay): give a "
        "vae_fn.training.Optimizer, or a function without arguments that returns one",
    ),
    ("mine.py:short", "update of mine.py:short must take (grads, state, params)"),
    (
        "mine.py:factory",
        "mine.py:factory raised TypeError: Normal.__new__() missing 1 required positional argument: 'scale' "
        "(mine.py, line 24)",
    ),
    (
        "mine.py:double",
        "mine.py:double is a function: --args MODULE:FUNCTION must name a function that returns a tuple of example "
        "arguments (x,)",
    ),
    (
        "mine.py:algorithm",
        "mine.py:algorithm is a step: --args MODULE:FUNCTION must name a function that returns (batch,) for an "
        "Algorithm, else the tuple (state, *inputs)",
    ),
    (
        "mine.py:algorithm --args mine.py:two",
        "--args of mine.py:algorithm must return (batch,) for an Algorithm, else the tuple (state, *inputs), not a "
        "tuple of 2: (Tensor, Tensor)",
    ),
    (
        "mine.py:double --args mine.py:bare",
        "mine.py:bare must return a tuple of example arguments (x,), not an object of type torch.Tensor",
    ),
    (
        "mine.py:double --args mine.py:failing",
        "mine.py:failing is a function of (x): give a function without arguments",
    ),
    (
        "mine.py:double --args mine.py:number",
        "mine.py:number is an object of type int: give a function without arguments",
    ),
    (
        "mine.py:double --args mine.py:two",
        "mine.py:double is a function of (x), and --args returns a tuple of 2: (Tensor, Tensor)",
    ),
    (
        "mine.py:double --args mine.py:words",
        "--args of mine.py:double must return a tuple of example arguments (x,), not a tuple of 1: (str)",
    ),
    (
        "mine.py:double --args mine.py:unlike",
        "batched of --args is a tuple of 2 for 1 argument: give an entry for each",
    ),
    (
        "mine.py:stl --args mine.py:one",
        "mine.py:stl is an estimator, which takes no --args: the kit has problems for it",
    ),
    (
        "mine.py:q --args mine.py:one",
        "--args of mine.py:q must return (p,), another distribution over the same events, not a tuple of 1: (Tensor)",
    ),
]


@pytest.fixture
def files(user_code):
    for name, text in FILES.items():
        (user_code / name).write_text(text)
    return user_code


@pytest.mark.parametrize(("command", "line"), MISTAKES)
def test_a_mistake_is_one_line(command, line, files, capsys):
    before = {path.name for path in files.iterdir()}
    assert main(["verify", *command.split()]) == 2
    assert capsys.readouterr() == ("", f"vae-fn verify: error: {line}\n")
    assert {path.name for path in files.iterdir()} - {"__pycache__"} == before


def test_what_the_kit_stumbles_over_names_its_place_and_how_to_see_more(files, capsys):
    assert main(["verify", "mine.py:named", "--args", "mine.py:one", "--quiet"]) == 2
    out, err = capsys.readouterr()
    said = r"vae-fn verify: error: mine\.py:named, while it was checked, (raised|was refused: ).*\n"
    assert out == ""
    assert re.fullmatch(said, err), err


def test_debug_shows_the_traceback(files, capsys):
    assert main(["verify", "raising.py:x", "--debug"]) == 2
    err = capsys.readouterr().err
    assert "ZeroDivisionError: division by zero\n\nThe above exception was the direct cause" in err
