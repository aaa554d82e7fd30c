"""Rows as `vae-fn gradients` has them, made up."""


def row(estimator="dreg", samples=4, group="encoder", **changes):
    """A row without bias, half of whose variance is noise."""
    made = {
        "problem": "p",
        "estimator": estimator,
        "samples": samples,
        "group": group,
        "unbiased_for": "the K-sample bound",
        "target": "the K-sample bound",
        "bias": 0.0,
        "bias_se": 0.01,
        "relative_bias": 0.0,
        "draws_to_see": 100.0,
        "variance": 2.0,
        "variance_exact": None,
        "variance_noise": 1.0,
        "variance_batch": 1.0,
        "snr": 0.5,
        "snr_floor": 0.01,
        "cosine": 0.9,
        "forward": samples,
        "backward": samples,
        "milliseconds": 0.5,
        "draws": 1000,
        "batch_size": 1,
        "step": None,
    }
    return made | changes
