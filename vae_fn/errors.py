"""What a user can put right, as opposed to a fault of the program."""


class UserError(ValueError):
    """A mistake of the user; its message says in one line what to do about it.

    The command line prints the message alone, without a traceback, and ends with exit status 2.
    """
