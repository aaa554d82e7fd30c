"""Every estimator by the name that it has on the command line."""

from collections.abc import Callable
from typing import NamedTuple

from vae_fn.gradients.estimator import Estimator
from vae_fn.gradients.estimators.antithetic import antithetic
from vae_fn.gradients.estimators.arm import arm
from vae_fn.gradients.estimators.concrete import gumbel_softmax
from vae_fn.gradients.estimators.disarm import disarm
from vae_fn.gradients.estimators.enumeration import enumeration
from vae_fn.gradients.estimators.gdreg import gdreg
from vae_fn.gradients.estimators.gumbel_rao import gumbel_rao
from vae_fn.gradients.estimators.importance import dreg, iwae, stl_iwae, vimco, wake
from vae_fn.gradients.estimators.measure_valued import measure_valued
from vae_fn.gradients.estimators.reinforce import nvil, reinforce, reinforce_moving_average, reinforce_optimal
from vae_fn.gradients.estimators.relax import rebar, relax
from vae_fn.gradients.estimators.single import pathwise, rloo, sticking_the_landing
from vae_fn.gradients.estimators.straight_through import straight_through, straight_through_gumbel


class Entry(NamedTuple):
    """An estimator of the catalogue.

    Attributes:
        make: makes it with its default settings.
        papers: the keys in `references.bib` of the papers that it comes from.
        closed_kl: whether it is posed, where q and the prior allow it, with the KL in closed form.
    """

    make: Callable[[], Estimator]
    papers: tuple[str, ...]
    closed_kl: bool = False


CATALOGUE: dict[str, Entry] = {
    "pathwise": Entry(pathwise, ("kingma2014", "rezende2014"), closed_kl=True),
    "pathwise-sampled": Entry(pathwise, ("kingma2014", "rezende2014")),
    "stl": Entry(sticking_the_landing, ("roeder2017",)),
    "antithetic": Entry(antithetic, ("hammersley1956", "wu2019"), closed_kl=True),
    "measure-valued": Entry(measure_valued, ("mohamed2020",), closed_kl=True),
    "reinforce": Entry(reinforce, ("williams1992",), closed_kl=True),
    "reinforce-moving-average": Entry(reinforce_moving_average, ("williams1992", "mnih2014"), closed_kl=True),
    "reinforce-optimal": Entry(reinforce_optimal, ("ranganath2014", "mohamed2020"), closed_kl=True),
    "nvil": Entry(nvil, ("mnih2014",), closed_kl=True),
    "rloo": Entry(rloo, ("kool2019",), closed_kl=True),
    "iwae": Entry(iwae, ("burda2016",)),
    "stl-iwae": Entry(stl_iwae, ("roeder2017", "tucker2019")),
    "dreg": Entry(dreg, ("tucker2019",)),
    "gdreg": Entry(gdreg, ("bauer2021",)),
    "vimco": Entry(vimco, ("mnih2016",)),
    "rws": Entry(wake, ("bornschein2015", "le2019")),
    "arm": Entry(arm, ("yin2019",)),
    "disarm": Entry(disarm, ("dong2020", "yin2020")),
    "rebar": Entry(rebar, ("tucker2017",)),
    "relax": Entry(relax, ("grathwohl2018",)),
    "gumbel-softmax": Entry(gumbel_softmax, ("maddison2017", "jang2017")),
    "straight-through": Entry(straight_through, ("bengio2013",)),
    "st-gumbel": Entry(straight_through_gumbel, ("jang2017",)),
    "gumbel-rao": Entry(gumbel_rao, ("paulus2021",)),
    "enumeration": Entry(enumeration, ("kingma2014semi",), closed_kl=True),
}
"""Continuous ones first; a name is what `Estimator.name` says, but for the second form of `pathwise`."""
