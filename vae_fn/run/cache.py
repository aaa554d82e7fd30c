"""The folder in which torch keeps what it compiles. Where it cannot be made, torch cannot even be imported whole."""

import atexit
import contextlib
import errno
import getpass
import os
import re
import shutil
import tempfile
from functools import cache

VARIABLE = "TORCHINDUCTOR_CACHE_DIR"


@cache
def unwritable() -> str | None:
    """The folder, if nothing can be written there, and why; None where it can. The answer of the first call stays."""
    place = os.environ.get(VARIABLE)
    try:
        place = default_place() if place is None else place
        os.makedirs(place, exist_ok=True)
        with tempfile.TemporaryFile(dir=place):
            return None
    except OSError as fault:
        reason = "it is no folder" if fault.errno in (errno.EEXIST, errno.ENOTDIR) else fault.strerror
        return f"{place or tempfile.tempdir or 'a temporary folder'} ({reason})"


def keep_elsewhere() -> None:
    """Give torch a folder for this process alone where it cannot write to its own, before its compiler is imported."""
    if unwritable():
        with contextlib.suppress(OSError):  # without any folder torch says so
            os.environ[VARIABLE] = tempfile.mkdtemp(prefix="vae-fn-")
            atexit.register(shutil.rmtree, os.environ[VARIABLE], ignore_errors=True)


def default_place() -> str:
    """Torch's own choice; its function for it lies in what cannot be imported without a folder."""
    try:
        user = getpass.getuser()
    except (KeyError, ModuleNotFoundError, OSError):
        user = f"uid_{os.getuid()}"
    return os.path.join(tempfile.gettempdir(), "torchinductor_" + re.sub(r'[\\/:*?"<>|]', "_", user))
