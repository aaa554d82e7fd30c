"""Time the members of an ensemble in turn, side by side, and as separate programs, on the tutorial's network.

All three train the same members: the tutorial preset with keys 0, 1, ... and its own orders and noise. Each round gives
every way one window, in turn; a ratio is formed within a round, so that the machine's drift cancels. In its window a
separate program takes all its steps at once, members in turn change after every stretch, as in `vae-fn train`. Before
anything is timed, members in turn must have the bits of the separate programs after some steps, and members side by
side their losses to 1e-4.

    python benchmarks/ensembles.py [--members 8] [--rounds 7] [--json benchmarks/results/ensembles.json]
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from tqdm import tqdm

from vae_fn import random, tree
from vae_fn.compiling import compile_epoch
from vae_fn.run.assemble import Parts, assemble_members
from vae_fn.run.config import TrainConfig
from vae_fn.run.environment import environment
from vae_fn.run.folder import write_atomic
from vae_fn.run.members import Varied, member_settings
from vae_fn.run.train import initial_state
from vae_fn.training.stretches import Advance, States, compiled_stretches
from vae_fn.training.vmapped import vmapped

STRETCH = 50
"""Steps of a member before the next one's turn, about what the training loop comes to."""

STRETCHES = 2
"""In a window."""

BESIDE = 5
"""Steps of a window of members side by side, which are slower."""

LINE = "{way:14} {ms:7.2f} ms a member's step, {ratio:.3f} ({q1:.3f} to {q3:.3f}) times separate programs"


class Way:
    """One way to advance all members, from where its last window left them."""

    def __init__(self, members: list[Parts], advance: Callable[[States, int], tuple[States, torch.Tensor]], steps: int):
        self.advance, self.steps, self.count = advance, steps, len(members)
        self.states: States = {number: initial_state(each) for number, each in enumerate(members)}

    def window(self) -> float:
        """Milliseconds of a step of a member."""
        start = time.perf_counter()
        self.states, _ = self.advance(self.states, self.steps)
        return 1e3 * (time.perf_counter() - start) / (self.steps * self.count)


def together(advance: Advance, per_epoch: int, stretch: int) -> Callable[[States, int], tuple[States, torch.Tensor]]:
    """Steps in stretches of all members, each within an epoch."""

    def take(states: States, steps: int) -> tuple[States, torch.Tensor]:
        rows = []
        while steps:
            step = int(next(iter(states.values())).step)
            count = min(stretch, steps, per_epoch - step % per_epoch)
            states, infos = advance(states, step, count)
            rows.append(infos)
            steps -= count
        return states, torch.cat(rows, 1)

    return take


def separate(members: list[Parts], per_epoch: int) -> Callable[[States, int], tuple[States, torch.Tensor]]:
    """A program for each member, which takes all its steps before the next one does."""
    programs = [together(compiled_stretches(each.family, [each.member]), per_epoch, STRETCH) for each in members]

    def take(states: States, steps: int) -> tuple[States, torch.Tensor]:
        ends = {number: programs[number]({0: state}, steps) for number, state in states.items()}
        return {number: end[0] for number, (end, _) in ends.items()}, torch.cat([rows for _, rows in ends.values()])

    return take


def check_alike(ways: dict[str, Way]) -> None:
    """Take a few steps in every way, and compare; the first compile."""
    taken = {}
    for name, way in ways.items():
        way.states, taken[name] = way.advance(way.states, BESIDE)
    for one, other in zip(*(tree.leaves(ways[name].states) for name in ("separate", "in turn")), strict=True):
        assert torch.equal(one, other), "members in turn are not the separate ones"
    torch.testing.assert_close(taken["side by side"][..., 0], taken["separate"][..., 0], rtol=1e-4, atol=0)


def row(name: str, windows: dict[str, list[float]]) -> dict[str, object]:
    """Median milliseconds, and the quartiles of the ratio within rounds."""
    ratios = [one / other for one, other in zip(windows[name], windows["separate"], strict=True)]
    q1, ratio, q3 = statistics.quantiles(ratios, n=4)
    return {"way": name, "ms": statistics.median(windows[name]), "q1": q1, "ratio": ratio, "q3": q3}


def main() -> None:
    """Compare, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    members = assemble_members(member_settings(TrainConfig(), Varied(keys=options.members)))
    per_epoch, own = members[0].batches.per_epoch, [each.member for each in members]
    beside = vmapped(members[0].family, own, compile_epoch)
    ways = {
        "separate": Way(members, separate(members, per_epoch), STRETCH * STRETCHES),
        "in turn": Way(
            members, together(compiled_stretches(members[0].family, own), per_epoch, STRETCH), STRETCH * STRETCHES
        ),
        "side by side": Way(members, together(beside, per_epoch, BESIDE), BESIDE),
    }
    check_alike(ways)
    windows: dict[str, list[float]] = {name: [] for name in ways}
    for number in tqdm(range(options.rounds)):
        names = list(ways)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            windows[name].append(ways[name].window())
    rows = [row(name, windows) for name in ways]
    print("\n".join(LINE.format(**each) for each in rows))
    if options.json:
        settings = {"members": options.members, "rounds": options.rounds, "stretch": STRETCH, "stretches": STRETCHES}
        record = settings | {"rows": rows, "windows_ms": windows, "environment": environment("cpu", random.GENERATOR)}
        write_atomic(options.json, json.dumps(record, indent=1) + "\n")
        print(f"written to {options.json}")


if __name__ == "__main__":
    main()
