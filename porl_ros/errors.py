"""Errors that a user can act on. The command line prints their text and exits with a code."""


class PorlError(Exception):
    """Base of every error whose message is written for the user: what, where, and the remedy."""


class ConfigError(PorlError):
    """A file or parameter does not say what it must; the message names key, value and remedy."""


class ContractMismatch(PorlError):
    """Two pieces (policy, store, robot) were made for different contracts."""
