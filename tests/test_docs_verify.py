"""docs/verify.md shows real output: its files are written, its commands run, and what they print is held against it."""

import os
import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "verify.md"
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```", re.DOTALL | re.MULTILINE)
COMMAND = "import sys; sys.argv[0] = 'vae-fn'; from vae_fn.cli.main import main; sys.exit(main())"


def stable(text):
    """What is the same on every machine: no times, no versions, numbers to three digits, columns of any width."""
    lines = [line for line in text.splitlines() if not line.startswith(("versions: ", "-----"))]
    lines = [re.sub(r"^(\S+ {2,}.*\S) +\S+$", r"\1", line) for line in lines]  # the table's last column
    rounded = [re.sub(r"-?\d+\.\d+(?:e[-+]\d+)?", lambda found: f"{float(found[0]):.3g}", line) for line in lines]
    return [" ".join(line.split()) for line in rounded]


def run(command, folder):
    environment = {
        name: value for name, value in os.environ.items() if name not in ("PYTEST_CURRENT_TEST", "VAE_FN_EPOCH")
    }
    arguments = [sys.executable, "-c", COMMAND, *command.split()[1:]]
    return subprocess.run(arguments, capture_output=True, text=True, cwd=folder, env=environment)


def test_the_output_of_commands_is_real(tmp_path):
    statuses = []
    for kind, text in BLOCK.findall(PAGE.read_text()):
        if name := re.match(r"# (\w+\.py)\n", text):
            (tmp_path / name[1]).write_text(text)
        if kind == "console":
            command, _, shown = text.removeprefix("$ ").partition("\n")
            done = run(command, tmp_path)
            assert stable(done.stdout) == stable(shown)
            statuses.append(done.returncode)
    assert statuses == [1, 0]


def test_a_property_of_the_page_holds():
    """Those that the page defines are called by nobody else; the statistical one takes too long here."""
    names = {}
    for kind, text in BLOCK.findall(PAGE.read_text()):
        if kind == "python" and not text.startswith("# "):
            exec(compile(text, PAGE, "exec"), names)
    names["test_an_update_is_pure"]()
