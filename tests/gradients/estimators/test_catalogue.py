"""The catalogue: names are the estimators' own, papers have references, and all that is offered is listed."""

import re
from importlib import resources

import pytest

from vae_fn.gradients import estimators
from vae_fn.gradients.estimators import CATALOGUE, Entry

SECOND_FORMS = {"pathwise-sampled": "pathwise"}
KNOWN_TARGETS = ("the ELBO", "the K-sample bound")


def test_names_are_those_of_the_estimators():
    for name, entry in CATALOGUE.items():
        assert entry.make().name == SECOND_FORMS.get(name, name)


def test_every_paper_has_its_reference():
    references = (resources.files("vae_fn.gradients") / "references.bib").read_text()
    keys = re.findall(r"^@\w+{(\w+),", references, re.MULTILINE)
    assert len(keys) == len(set(keys))
    for name, entry in CATALOGUE.items():
        assert entry.papers, name
        assert set(entry.papers) <= set(keys), name


def test_every_estimator_says_what_it_is_for():
    for name, entry in CATALOGUE.items():
        claimed = entry.make().unbiased_for
        assert claimed in KNOWN_TARGETS or re.match(r"nothing: \w.{10,}", claimed), name


def test_all_that_the_package_offers_is_listed():
    offered = {each for each in vars(estimators).values() if callable(each) and each is not Entry}
    assert offered == {entry.make for entry in CATALOGUE.values()}


@pytest.mark.parametrize("name", CATALOGUE)
def test_what_is_made_twice_is_alike(name):
    one, other = CATALOGUE[name].make(), CATALOGUE[name].make()
    assert one[:5] == other[:5]
