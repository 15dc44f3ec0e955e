"""What is wrong with data."""

__all__ = ["DataError"]


class DataError(Exception):
    """Data are missing, damaged or not what they should be; one line that says what to do."""
