"""`vae-fn encode RUN`: the latents of images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vae_fn.cli.options import ModelOptions, Part, images_of
from vae_fn.cli.output import check_ending, place, replacing, write_arrays
from vae_fn.cli.parse import parse

SUMMARY = "Encode images, such as your own, and write their latents as arrays."

SHOWN = {
    "grey": "grey intensities were encoded",
    "dynamic": "black and white pixels were encoded, drawn once from key {key}",
    "fixed": "black and white pixels were encoded, drawn once as in training, whatever the key",
}
"""What the model is shown of an image, by protocol."""


@dataclass(frozen=True)
class EncodeOptions(ModelOptions):
    """Encode images, such as your own, and write their latents as arrays.

    The .npz file has a row for each image: mean and scale, the standard deviation, of the posterior q(z | x), and the
    labels where there are some. Of discrete latents mean holds probabilities, and there are logits; of layers those of
    each, mean_1 of the one nearest to the pixels. A model of binarised pixels is shown binarised pixels: drawn once
    from --key if it was trained on pixels drawn afresh every step, or as in training if those were drawn once.
    """

    data: str | None = None
    """Images: a data set by name, or the path of a folder of IDX files, a .npy or a .npz file.
    They have the size that the model was trained on. By default the run's."""
    split: Part = "all"
    """Part of the data. all: the rows are in the order of the file; of data in two parts, training images first.
    train and test: also of a file without a test part, as training divides it, each in the order of the file."""
    out: Path | None = None
    """File to write, .npz. By default RUN/latents.npz."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ending(self.out, (".npz",))


def main(args: Sequence[str]) -> None:
    """Encode, write, and say what was encoded."""
    options = parse(EncodeOptions, args, prog="vae-fn encode")
    config = options.settings()
    data = options.data or config.data
    out = place(options.out, options.run / "latents.npz", data)
    replaced = replacing(out, options.run)
    from vae_fn.run.codes import codes, load_trained, prepared, select

    trained = load_trained(options.run, config, options.checkpoint, options.key)
    split = select(prepared(trained, options.data), options.split)
    arrays = {name: array.cpu().numpy() for name, array in codes(trained, split).items()}
    write_arrays(out, arrays)
    if not options.quiet:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        print(f"{images_of(len(split.images), options.split, data)} in {out}: {shapes}")
        print(f"{SHOWN[config.binarise].format(key=options.key)} (protocol {config.binarise})")
        if replaced:
            print(replaced)
