"""Training: pure optimizers and steps, compiling at the edge, and the loop."""

from vae_fn.optimization.optimizers import Optimizer as Optimizer
from vae_fn.optimization.optimizers import adam as adam
from vae_fn.optimization.optimizers import adamw as adamw
from vae_fn.optimization.optimizers import sgd as sgd
from vae_fn.training.clipping import clip_by_global_norm as clip_by_global_norm
from vae_fn.training.step import Algorithm as Algorithm
from vae_fn.training.step import Batch as Batch
from vae_fn.training.step import Info as Info
from vae_fn.training.step import State as State
from vae_fn.training.step import make_step as make_step
from vae_fn.training.step import step_by_shape as step_by_shape
