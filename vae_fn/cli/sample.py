"""`vae-fn sample RUN`: what the decoder makes of draws from the prior."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vae_fn.cli.options import ModelOptions, check_image_count
from vae_fn.cli.output import PICTURES, check_ending, place, replacing, write_arrays, write_figure
from vae_fn.cli.parse import parse
from vae_fn.words import counted

SUMMARY = "Draw latents from the prior and decode them, as a picture or as arrays."


@dataclass(frozen=True)
class SampleOptions(ModelOptions):
    """Draw latents from the prior and decode them, as a picture or as arrays.

    A pixel is the mean of p(x | z), a shade between black (0) and white (1), and not itself drawn at random.
    """

    count: int = 64
    """Latents to draw; the first of them are the same for every count."""
    out: Path | None = None
    """File to write: .png or .svg for a picture, .npz for arrays, .npy for the images alone.
    The arrays are images (count, height, width) and latents (count, dimensions), of layers latents_1, latents_2, ...
    By default RUN/figures/samples.png."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ending(self.out, (*PICTURES, ".npz", ".npy"))
        check_image_count(self.count, picture=self.out is None or self.out.suffix.lower() in PICTURES)


def main(args: Sequence[str]) -> None:
    """Sample, write, and say where."""
    options = parse(SampleOptions, args, prog="vae-fn sample")
    config = options.settings()
    out = place(options.out, options.run / "figures" / "samples.png", config.data)
    replaced = replacing(out, options.run)
    from vae_fn.run.codes import load_trained, numbered, sample

    trained = load_trained(options.run, config, options.checkpoint, options.key)
    drawn = sample(trained, options.count)
    images = drawn.images.cpu().numpy()
    if out.suffix.lower() in PICTURES:
        from vae_fn.viz import prior_samples

        write_figure(out, prior_samples(images, trained.shape))
    else:
        latents = {name: array.cpu().numpy() for name, array in numbered("latents", drawn.latents)}
        write_arrays(out, {"images": images.reshape(-1, *trained.shape)} | latents)
    if not options.quiet:
        samples = counted(options.count, "sample")
        print(f"{samples} of {options.run} in {out}: means of p(x | z) at draws of key {options.key}")
        if replaced:
            print(replaced)
