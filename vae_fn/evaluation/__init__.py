"""Evaluation of trained models on data sets."""

from vae_fn.evaluation.bound import evaluate_bound as evaluate_bound
from vae_fn.evaluation.elbo import Evaluation as Evaluation
from vae_fn.evaluation.elbo import evaluate_elbo as evaluate_elbo
