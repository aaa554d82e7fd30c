"""`vae-fn reconstruct RUN`: images beside what the model makes of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vae_fn.cli.evaluate import nats
from vae_fn.cli.options import ModelOptions, Part, check_image_count, images_of
from vae_fn.cli.output import (
    PICTURES,
    check_ending,
    check_json,
    place,
    replacing,
    write_arrays,
    write_figure,
    write_json,
)
from vae_fn.cli.parse import parse
from vae_fn.run.metrics import with_nonfinite
from vae_fn.words import counted

SUMMARY = "Encode images and decode them again, with the reconstruction term in nats."


@dataclass(frozen=True)
class ReconstructOptions(ModelOptions):
    """Encode images and decode them again, as a picture or as arrays, with the reconstruction term in nats.

    What is shown is the mean of p(x | z) at the mean of the posterior q(z | x), or at the most probable code of
    discrete latents. The reconstruction term is the mean of
    log p(x | z) over draws from the posterior and over the images shown, as in the ELBO.
    """

    data: str | None = None
    """Images: a data set by name, or the path of a folder of IDX files, a .npy or a .npz file. By default the run's."""
    split: Part | None = None
    """Part of the data. By default test of the run's images, and all of those that --data names.
    train and test: also of a file without a test part, as training divides it."""
    count: int = 30
    """Images to show, the first of every class in turn; without labels the first ones."""
    out: Path | None = None
    """File to write: .png or .svg for a picture, .npz for arrays.
    These are images, decoded, latents, and their indices in the split. By default RUN/figures/reconstructions.png."""
    json: Path | None = None
    """File to write the ELBO of the images shown to, with its terms, as JSON."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ending(self.out, (*PICTURES, ".npz"))
        check_image_count(self.count, picture=self.out is None or self.out.suffix.lower() in PICTURES)
        check_json(self.json, self.run)

    @property
    def part(self) -> Part:
        """The part of the data."""
        return self.split or ("test" if self.data is None else "all")


def main(args: Sequence[str]) -> None:
    """Reconstruct, write, and print the reconstruction term."""
    options = parse(ReconstructOptions, args, prog="vae-fn reconstruct")
    config = options.settings()
    data = options.data or config.data
    out = place(options.out, options.run / "figures" / "reconstructions.png", data)
    replaced = replacing(out, options.run)
    from vae_fn.run.codes import load_trained, numbered, prepared, reconstruct, select

    trained = load_trained(options.run, config, options.checkpoint, options.key)
    split = select(prepared(trained, options.data), options.part)
    found = reconstruct(trained, split, options.count, config.evaluation_draws)
    index, images, decoded = (array.cpu().numpy() for array in (found.places, found.images, found.decoded))
    if out.suffix.lower() in PICTURES:
        from vae_fn.viz import reconstructions

        write_figure(out, reconstructions(images, decoded, trained.shape))
    else:
        pictures = {"images": images, "decoded": decoded}
        shaped = {name: rows.reshape(-1, *trained.shape) for name, rows in pictures.items()}
        latents = {name: array.cpu().numpy() for name, array in numbered("latents", found.latents)}
        write_arrays(out, shaped | latents | {"index": index})
    result = with_nonfinite(found.evaluation._asdict())
    if options.json is not None:
        what = {"data": data, "split": options.part, "key": options.key}
        write_json(options.json, what | result)
    if not options.quiet:
        print(f"{images_of(len(images), options.part, data)} in {out}")
        these = "this image" if len(images) == 1 else "these images"
        print(
            f"reconstruction {nats(result['reconstruction'])} per image, over {these} and "
            f"{counted(result['draws'], 'draw')} of the latents for each (protocol {result['protocol']})"
        )
        if replaced:
            print(replaced)
