"""Numbers in sentences."""


def counted(count: int, noun: str) -> str:
    """A number of things, as in `1 image` and `10,000 images`; of a noun that takes an s."""
    return f"{count:,} {noun}{'s' * (count != 1)}"
