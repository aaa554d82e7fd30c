"""Files of tensors and a record that say another thing of themselves than they did."""

import json

from safetensors.torch import load, save

from vae_fn.run.sealed import checksum


def rewritten(path, change):
    """The file's content with a changed header."""
    header = json.loads(path.read_bytes()[8 : 8 + int.from_bytes(path.read_bytes()[:8], "little")])
    mine = json.loads(header["__metadata__"]["vae_fn"])
    return save(load(path.read_bytes()), metadata={"vae_fn": json.dumps(change(mine))})


def resealed(path, changes):
    """The file's content with a changed record and the checksum that goes with it."""

    def change(header):
        about = header["record"] | changes
        return header | {"record": about, "checksum": checksum(load(path.read_bytes()), about)}

    return rewritten(path, change)
