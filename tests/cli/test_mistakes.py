"""Mistakes that need nothing to be there: each is one line that says what to do, and exit status 2."""

import pytest

from vae_fn.cli.main import COMMANDS, main
from vae_fn.run.config import PRESETS

MISTAKES = [
    ("--verson", "vae-fn: error: unknown option '--verson'. Did you mean --version?"),
    ("trian", "vae-fn: error: unknown command 'trian'. Did you mean train?"),
    ("zzz", f"vae-fn: error: unknown command 'zzz'. Choose from: {', '.join(COMMANDS)}."),
    ("-v", "vae-fn: error: unknown option '-v'. Choose from: --help, --version."),
    ("train tutoral --epochs 3", "vae-fn train: error: unknown preset 'tutoral'. Did you mean tutorial?"),
    ("train zzz", f"vae-fn train: error: unknown preset 'zzz'. Choose from: {', '.join(PRESETS)}."),
    (
        "train bernoulli-200 --estimator dreg",
        "vae-fn train: error: the dreg estimator differentiates samples, and bernoulli latents have no gradient: use "
        "--estimator rloo --samples 2 or more",
    ),
    (
        "train --latent-family bernoulli-2",
        "vae-fn train: error: the pathwise estimator differentiates samples, and bernoulli-2 latents have no gradient: "
        "use --estimator rloo --samples 2 or more",
    ),
    (
        "train categorical-20x10 --classes 1",
        "vae-fn train: error: a variable with 1 classes says nothing: use --classes 2 or more",
    ),
    (
        "train --classes 3",
        "vae-fn train: error: --classes does nothing with normal latents: use --latent-family categorical",
    ),
    (
        "train bernoulli-200 --free-bits 1",
        "vae-fn train: error: --free-bits is there for normal latents, not for bernoulli ones: use --free-bits 0",
    ),
    ("train --preset quick", "vae-fn train: error: a preset has no --: it comes first, as in `vae-fn train tutorial`."),
    ("train --epoch 3", "vae-fn train: error: unknown option '--epoch'. Did you mean --epochs?"),
    ("train quick --epcohs=3", "vae-fn train: error: unknown option '--epcohs'. Did you mean --epochs?"),
    ("train --no-compil", "vae-fn train: error: unknown option '--no-compil'. Did you mean --no-compile?"),
    ("train -x", "vae-fn train: error: unknown option '-x'. See --help for the options."),
    ("train --zzz", "vae-fn train: error: unknown option '--zzz'. See --help for the options."),
    ("train --epochs", "vae-fn train: error: --epochs needs a value: a whole number."),
    ("train --epochs --key 3", "vae-fn train: error: --epochs needs a value: a whole number."),
    ("train --epochs x", "vae-fn train: error: --epochs takes a whole number, not 'x'."),
    ("train --epochs=", "vae-fn train: error: --epochs takes a whole number, not ''."),
    ("train --epochs=1.5", "vae-fn train: error: --epochs takes a whole number, not '1.5'."),
    ("train --epochs 1e3", "vae-fn train: error: --epochs takes a whole number, not '1e3'."),
    ("train --beta one", "vae-fn train: error: --beta takes a number, not 'one'."),
    (
        "train --binarise gray",
        "vae-fn train: error: --binarise takes one of grey, dynamic, fixed, not 'gray'. Did you mean grey?",
    ),
    ("train --binarise --key 3", "vae-fn train: error: --binarise needs a value: one of grey, dynamic, fixed."),
    (
        "train --optimizer adamx",
        "vae-fn train: error: --optimizer takes one of adamw, adam, sgd, not 'adamx'. Did you mean adam?",
    ),
    (
        "train --estimator pathwis",
        "vae-fn train: error: --estimator takes one of pathwise, pathwise-sampled, stl, antithetic, measure-valued, "
        "reinforce, reinforce-moving-average, reinforce-optimal, nvil, rloo, iwae, stl-iwae, dreg, gdreg, vimco, rws, "
        "arm, disarm, rebar, relax, gumbel-softmax, straight-through, st-gumbel, gumbel-rao, enumeration, "
        "not 'pathwis'. Did you mean pathwise?",
    ),
    (
        "train --schedule cosine",
        "vae-fn train: error: --schedule takes one of constant, warmup-cosine, not 'cosine'. Did you mean "
        "warmup-cosine?",
    ),
    ("train quick extra", "vae-fn train: error: unexpected argument 'extra': it belongs to no option, see --help."),
    (
        "train --key 3 quick",
        "vae-fn train: error: unexpected argument 'quick': a preset comes first, before all options.",
    ),
    ("train --compile 3", "vae-fn train: error: unexpected argument '3': it belongs to no option, see --help."),
    ("train --compile=false", "vae-fn train: error: --compile is a switch and takes no value, see --help."),
    ("train --epochs 0", "vae-fn train: error: --epochs must be positive and finite, not 0"),
    ("train --epochs -5", "vae-fn train: error: --epochs must be positive and finite, not -5"),
    (
        "train --epochs 99999999999999999999",
        "vae-fn train: error: --epochs must fit into 64 bits, not 99999999999999999999",
    ),
    ("train --batch-size 0", "vae-fn train: error: --batch-size must be positive and finite, not 0"),
    ("train --learning-rate 0", "vae-fn train: error: --learning-rate must be positive and finite, not 0.0"),
    ("train --learning-rate nan", "vae-fn train: error: --learning-rate must be positive and finite, not nan"),
    ("train --learning-rate -1e-3", "vae-fn train: error: --learning-rate must be positive and finite, not -0.001"),
    ("train --learning-rate 1e31", "vae-fn train: error: --learning-rate must be at most 1e+30, not 1e+31"),
    ("train --learning-rate 1e400", "vae-fn train: error: --learning-rate must be positive and finite, not inf"),
    (
        "train --weight-decay 1000",
        "vae-fn train: error: --weight-decay times --learning-rate must be below 1, or each step overshoots zero: "
        "lower one of them",
    ),
    ("train --beta inf", "vae-fn train: error: --beta must be 0 or more and finite, not inf"),
    ("train --beta -1", "vae-fn train: error: --beta must be 0 or more and finite, not -1.0"),
    (
        "train --beta 0 --kl-warmup 5",
        "vae-fn train: error: with beta 0 there is no KL term for --kl-warmup or --free-bits to act on: use a "
        "positive --beta",
    ),
    (
        "train --hidden 12",
        "vae-fn train: error: --hidden must be a positive multiple of 8 (the last hidden layer is hidden/8 wide), "
        "at most 65536, not 12",
    ),
    (
        "train --hidden 65544",
        "vae-fn train: error: --hidden must be a positive multiple of 8 (the last hidden layer is hidden/8 wide), "
        "at most 65536, not 65544",
    ),
    ("train --latents 65537", "vae-fn train: error: --latents must be at most 65536, not 65537"),
    ("train --samples 100000000", "vae-fn train: error: --samples must be at most 65536, not 100000000"),
    ("train --held-out -1", "vae-fn train: error: --held-out must be 0 or more and finite, not -1"),
    ("train --keep-last 0", "vae-fn train: error: --keep-last must be positive and finite, not 0"),
    ("train --checkpoint-every -1", "vae-fn train: error: --checkpoint-every must be 0 or more and finite, not -1"),
    ("train --key -1", "vae-fn train: error: --key must lie between 0 and 2^63 - 1, not -1"),
    (
        "train --key 9223372036854775808",
        "vae-fn train: error: --key must lie between 0 and 2^63 - 1, not 9223372036854775808",
    ),
    ("train --microbatch -1", "vae-fn train: error: --microbatch must be 0 or more and finite, not -1"),
    (
        "train bernoulli-200 --estimator nvil --microbatch 25",
        "vae-fn train: error: the nvil estimator learns from whole batches: use --microbatch 0 and, to save memory, a "
        "smaller --batch-size",
    ),
    (
        "train --warmup-steps 10",
        "vae-fn train: error: --warmup-steps does nothing with a constant schedule: use --schedule warmup-cosine",
    ),
    (
        "train --estimator stl --free-bits 0.1",
        "vae-fn train: error: --free-bits needs the KL in closed form: use --estimator pathwise",
    ),
    (
        "train --estimator dreg --binarise dynamic --beta 2",
        "vae-fn train: error: --beta and --kl-warmup have no meaning in the dreg bound: use --beta 1 --kl-warmup 0",
    ),
    ("train --device tpu", "vae-fn train: error: --device 'tpu' is unknown: use cpu, cuda, cuda:1, mps or xpu"),
    ("train --device cuda:", "vae-fn train: error: --device 'cuda:' is unknown: use cpu, cuda, cuda:1, mps or xpu"),
    (
        "train --cuda-graph",
        "vae-fn train: error: --cuda-graph is for a CUDA device, not for cpu: use --device cuda, or --no-cuda-graph",
    ),
    (
        "train --cuda-graph --device mps",
        "vae-fn train: error: --cuda-graph is for a CUDA device, not for mps: use --device cuda, or --no-cuda-graph",
    ),
    (
        "train --cuda-graph --device cuda:1 --no-compile",
        "vae-fn train: error: --cuda-graph replays a compiled step: use --compile, or --no-cuda-graph",
    ),
    (
        "train --cuda-graph --device cuda --microbatch 8",
        "vae-fn train: error: --cuda-graph takes no micro-batches: use --microbatch 0, or --no-cuda-graph",
    ),
    (
        "train --name ../x",
        "vae-fn train: error: --name '../x' cannot name a run: use at most 100 letters, digits and . _ + = , - with "
        "a letter or digit first; the folder to put it in is --runs-dir",
    ),
    (
        "train --name=",
        "vae-fn train: error: --name '' cannot name a run: use at most 100 letters, digits and . _ + = , - with a "
        "letter or digit first; the folder to put it in is --runs-dir",
    ),
    ("train --data=", "vae-fn train: error: --data must be a path of printable characters, not ''"),
    (
        "train --estimator iwae",
        "vae-fn train: error: an importance-sampled bound (iwae) of grey pixels under a Bernoulli means nothing: "
        "use --binarise dynamic",
    ),
    (
        "train --estimator rloo",
        "vae-fn train: error: the rloo estimator compares each sample with the others: use --samples 2 or more",
    ),
    ("train --exact", "vae-fn train: error: --exact says how to resume: give the run by --resume RUN"),
    (
        "train --json no/x.json",
        "vae-fn train: error: --json must be a file in an existing folder that you may write to, not no/x.json",
    ),
    ("train --resume", "vae-fn train: error: --resume needs a value: a path."),
    ("train --config", "vae-fn train: error: --config needs a value: a path."),
    (
        "train --config nowhere.toml",
        "vae-fn train: error: nowhere.toml: No such file or directory: --config takes a TOML file, as "
        "--print-config writes",
    ),
    ("train --resume nowhere", "vae-fn train: error: nowhere does not exist. Give a run's folder."),
    ("evaluate", "vae-fn evaluate: error: missing argument: RUN, see --help."),
    ("evaluate --draws 3", "vae-fn evaluate: error: missing argument: RUN, see --help."),
    ("evaluate nowhere", "vae-fn evaluate: error: nowhere does not exist. Give a run's folder."),
    ("evaluate .", "vae-fn evaluate: error: . has no config.toml, so it is not a run. Give a run's folder."),
    ("evaluate a b", "vae-fn evaluate: error: unexpected argument 'b': it belongs to no option, see --help."),
    ("evaluate --drows 3 a", "vae-fn evaluate: error: unknown option '--drows'. Did you mean --draws?"),
    ("evaluate a --draws 0", "vae-fn evaluate: error: --draws must be positive and at most 65536, not 0"),
    ("evaluate a --draws x", "vae-fn evaluate: error: --draws takes a whole number, not 'x'."),
    ("evaluate a --key -1", "vae-fn evaluate: error: --key must lie between 0 and 2^63 - 1, not -1"),
    (
        "evaluate a --key 9223372036854775808",
        "vae-fn evaluate: error: --key must lie between 0 and 2^63 - 1, not 9223372036854775808",
    ),
    ("evaluate a --json", "vae-fn evaluate: error: --json needs a value: a path."),
    (
        "evaluate a --json no/x.json",
        "vae-fn evaluate: error: --json must be a file in an existing folder that you may write to, not no/x.json",
    ),
]
"""What needs no set-up, in an empty folder."""


@pytest.mark.parametrize(("command", "line"), MISTAKES)
@pytest.mark.parametrize("colours", ["", "1"])
def test_a_mistake_is_one_line(command, line, colours, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    if colours:
        monkeypatch.setenv("FORCE_COLOR", colours)
    assert main(command.split(" ")) == 2
    assert capsys.readouterr() == ("", line + "\n")
    assert list(tmp_path.iterdir()) == []
