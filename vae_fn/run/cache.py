"""The folder in which torch keeps what it compiles. Where it cannot be made, torch cannot even be imported whole."""

import atexit
import errno
import getpass
import os
import re
import shutil
import tempfile
from functools import cache

VARIABLE = "TORCHINDUCTOR_CACHE_DIR"


@cache
def unkept() -> str | None:
    """Where nothing can be kept, and why; None where it can. Torch is then given a folder for this process alone.

    To be asked before torch is imported for the first time by what needs its compiler's parts.
    """
    place = os.environ.get(VARIABLE, default_place())
    try:
        os.makedirs(place, exist_ok=True)
        with tempfile.TemporaryFile(dir=place):
            return None
    except OSError as fault:
        os.environ[VARIABLE] = tempfile.mkdtemp(prefix="vae-fn-")
        atexit.register(shutil.rmtree, os.environ[VARIABLE], ignore_errors=True)
        reason = "it is no folder" if fault.errno in (errno.EEXIST, errno.ENOTDIR) else fault.strerror
        return f"{place} ({reason})"


def default_place() -> str:
    """Torch's own choice; its function for it lies in what cannot be imported without a folder."""
    try:
        user = getpass.getuser()
    except (KeyError, ModuleNotFoundError, OSError):
        user = f"uid_{os.getuid()}"
    return os.path.join(tempfile.gettempdir(), "torchinductor_" + re.sub(r'[\\/:*?"<>|]', "_", user))
