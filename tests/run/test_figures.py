import numpy as np
import pytest
from matplotlib.figure import Figure

from tests.run.trained import small_run, write_images
from vae_fn.run import figures
from vae_fn.run.figures import FIGURES, interpolated, pairs, which
from vae_fn.run.folder import read_config
from vae_fn.run.subject import load_subject

ALWAYS = {
    "loss_curves",
    "samples",
    "reconstructions",
    "marginals",
    "interpolations",
    "kl_by_dimension",
    "gradient_norm",
}
PLANE = {"latent_scatter", "latent_histogram"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures")
    write_images(folder / "images.npz", labels=np.arange(300) % 7)
    write_images(folder / "unlabelled.npy")
    for latents, data in ((1, "images.npz"), (2, "images.npz"), (5, "unlabelled.npy")):
        small_run(folder, data=str(folder / data), latents=latents, name=f"z{latents}")
    return folder


def subject_of(folder, latents):
    run = folder / "runs" / f"z{latents}"
    return load_subject(run, read_config(run), "newest", 0)


@pytest.mark.parametrize(
    ("latents", "more"),
    [(1, {"traversals"}), (2, PLANE | {"manifold"}), (5, PLANE | {"traversals"})],
)
def test_which_figures_there_are(folder, latents, more):
    assert set(which(subject_of(folder, latents))) == ALWAYS | more


def test_what_has_nothing_to_show_is_left_out(folder):
    subject = subject_of(folder, 2)
    every = set(which(subject))
    assert every - set(which(subject._replace(rows=[]))) == {"loss_curves", "gradient_norm", "kl_by_dimension"}
    training = [row for row in subject.rows if row["split"] == "train"]
    assert every - set(which(subject._replace(rows=training))) == {"kl_by_dimension"}
    evaluation = [row for row in subject.rows if row["split"] != "train"]
    assert every - set(which(subject._replace(rows=evaluation))) == {"gradient_norm"}
    assert every - set(which(subject._replace(means=subject.means[:1]))) == {"interpolations"}


def vivid(subject):
    """With latents far apart and a decoder that tells them apart, as after a long training."""
    rng, decoder = np.random.default_rng(0), subject.trained.params["decoder"]
    params = subject.trained.params | {"decoder": {name: 4 * leaf for name, leaf in decoder.items()}}
    means, draws = (rng.normal(size=subject.means.shape).astype(np.float32) for _ in range(2))
    return subject._replace(trained=subject.trained._replace(params=params), means=means, draws=draws)


def check_ends(subject, starts, ends, linear, spherical):
    """The first pictures are the decoded encodings of the starts, the last those of the ends."""
    first, last = (subject.decoded(subject.means[places]) for places in (starts, ends))
    for images in (linear, spherical):
        np.testing.assert_allclose(images[0], first, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(images[-1], last, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("latents", [1, 2, 5])
def test_interpolations_go_from_encoding_to_encoding(folder, latents):
    subject = vivid(subject_of(folder, latents))
    starts, ends = pairs(subject)
    linear, spherical = interpolated(subject, starts, ends)
    assert linear.shape == spherical.shape == (figures.STEPS, figures.PAIRS, 36)
    check_ends(subject, starts, ends, linear, spherical)
    elsewhere = subject._replace(means=subject.draws)
    mutants = [
        interpolated(subject, ends, starts),
        (linear[:-1], spherical[:-1]),
        interpolated(elsewhere, starts, ends),
    ]
    for mutant in mutants:
        with pytest.raises(AssertionError):
            check_ends(subject, starts, ends, *mutant)


def test_pairs_are_of_different_classes(folder):
    subject = subject_of(folder, 2)
    starts, ends = pairs(subject)
    assert len(starts) == len(ends) == figures.PAIRS
    assert (subject.classes[starts] != subject.classes[ends]).all()
    assert len({*starts, *ends}) == 2 * figures.PAIRS


def test_of_few_images_there_are_few_pairs(folder):
    subject = subject_of(folder, 5)
    few = subject._replace(means=subject.means[:3], test=subject.test._replace(images=subject.test.images[:3]))
    starts, ends = pairs(few)
    assert (starts.tolist(), ends.tolist()) == ([0], [1])


def arguments(monkeypatch, name):
    """What a figure is drawn from, taken down instead of drawn."""
    taken = {}

    def draw(*args, **kwargs):
        taken.update(args=args, **kwargs)
        return Figure()

    monkeypatch.setattr(figures.viz, name, draw)
    return taken


def test_histograms_and_marginals_show_draws_and_the_scatter_shows_means(folder, monkeypatch):
    subject = subject_of(folder, 5)
    for name, drawn in (("latent_histogram", subject.draws), ("marginals", subject.draws)):
        taken = arguments(monkeypatch, name)
        FIGURES[name](subject)
        assert np.array_equal(taken["args"][0], drawn)
        assert not np.array_equal(taken["args"][0], subject.means)
    taken = arguments(monkeypatch, "latent_scatter")
    FIGURES["latent_scatter"](subject)
    assert np.array_equal(np.sort(taken["args"][0], 0), np.sort(subject.means, 0))
    assert taken["args"][1] is None


def test_a_dot_has_the_class_of_its_image(folder, monkeypatch):
    subject = subject_of(folder, 2)
    taken = arguments(monkeypatch, "latent_scatter")
    FIGURES["latent_scatter"](subject)
    means, classes, _ = taken["args"]
    own = zip(subject.means.tolist(), subject.classes.tolist(), strict=True)
    assert sorted(zip(means.tolist(), classes.tolist(), strict=True)) == sorted(own)


def test_traversals_move_one_latent_from_the_first_test_image(folder, monkeypatch):
    subject = vivid(subject_of(folder, 5))
    taken = arguments(monkeypatch, "traversals")
    FIGURES["traversals"](subject)
    images, _, values, dims = taken["args"]
    assert sorted(dims) == list(range(5))
    z = subject.means[0].copy()
    z[dims[1]] = values[3]
    np.testing.assert_allclose(images[1, 3], subject.decoded(z[None])[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("latents", [1, 2, 5])
def test_every_figure_is_drawn_with_a_caption(folder, latents):
    subject = subject_of(folder, latents)
    for name in which(subject):
        figure, caption = FIGURES[name](subject)
        assert figure.axes, name
        assert caption.endswith("."), name
        assert "{" not in caption, name
