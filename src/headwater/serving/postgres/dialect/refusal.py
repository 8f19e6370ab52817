"""Saying that a query has no translation which is sure to mean the same."""


class Refused(Exception):
    """Why a query isn't translated."""
