"""The one exception that means "the input is wrong": its message is one line for a person."""


class InputError(ValueError):
    """A file, a setting or a label that cannot be used.

    The message names the thing (file, key, record), the value found, the rule it
    breaks and the remedy. Entry points print it as one line and exit with status 1.
    """
