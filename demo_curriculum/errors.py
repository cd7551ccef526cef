"""Errors that a user can act on: one line that says what is wrong, where, and what to do."""


class DemoCurriculumError(Exception):
    """A problem with the input or the surroundings; the command line prints it as one line.

    Attributes:
        exit_code: what a command that ends with this error exits with.
    """

    exit_code = 1


class UsageError(DemoCurriculumError):
    """The arguments do not make sense together."""

    exit_code = 2


class MismatchError(DemoCurriculumError):
    """A verification ran to its end and found that things differ."""

    exit_code = 3
