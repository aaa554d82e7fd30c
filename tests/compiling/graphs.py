"""A stand-in for CUDA graphs."""


def graph(work, rehearse, device):
    """A CUDA graph in what matters here: captured once, after runs that leave their marks on what the work is on."""
    rehearse()
    rehearse()
    return work
