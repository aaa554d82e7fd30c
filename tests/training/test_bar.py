"""The progress bar of a training."""

import re

from vae_fn.training.bar import Row, progress_bar, show


def test_loss_kl_and_speed_fit_into_80_columns():
    rows = [
        Row(2200, 5, {"loss": 150.0 + key, "reconstruction": -143.5 - key, "kl": 6.5}, 0, 12_000.0) for key in range(2)
    ]
    bar = progress_bar(0, 2200, quiet=False)
    bar.update(2200)
    show(bar, rows, 5)
    bar.ncols, bar.dynamic_ncols = 79, None
    said = str(bar)
    bar.close()
    assert len(said) <= 79
    found = re.fullmatch(
        r"epoch 5/5: \|.+\| 2200/2200 \[\d\d:\d\d<00:00, loss 150\.50, kl 6\.50, 24,000 examples/s\] *", said
    )
    assert found, said
