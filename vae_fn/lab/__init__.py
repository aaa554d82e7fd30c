"""The laboratory: gradient estimators measured against exact gradients, and raced."""

from vae_fn.lab.contenders import Contender as Contender
from vae_fn.lab.contenders import contender as contender
from vae_fn.lab.measuring import Measurement as Measurement
from vae_fn.lab.measuring import Settings as Settings
from vae_fn.lab.measuring import measure as measure
from vae_fn.lab.rows import Row as Row
from vae_fn.lab.rows import by_leaf as by_leaf
from vae_fn.lab.rows import by_network as by_network
