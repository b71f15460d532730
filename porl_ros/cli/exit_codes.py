"""With what `porl` exits."""

from enum import IntEnum


class ExitCode(IntEnum):
    """The codes that all commands share; `meaning` is what the reference says of one."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> "ExitCode":
        """The code is the value; the text comes along."""
        member = int.__new__(cls, code)
        member._value_, member.meaning = code, meaning
        return member

    DONE = 0, "done"
    ERROR = (
        1,
        "an error, told in a sentence with its remedy; or a fault that was looked for and found",
    )
    USAGE = 2, "wrong usage: a command, an option or a value that is not there"
    NOT_GOOD_ENOUGH = (
        3,
        (
            "a policy that is not admitted or falls short (`porl validate`, `porl rollout`, "
            "`porl deploy`), or a robot config in which something is wrong (`porl check`)"
        ),
    )
    NOT_AS_IT_MUST = 4, "a rehearsal that did not go as it must (`porl rehearse`)"
    INTERRUPTED = 130, "interrupted by Ctrl-C"
