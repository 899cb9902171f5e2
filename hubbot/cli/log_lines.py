"""One record, one line of the log: further lines are indented, and control characters are escapes.

A line of somebody else's text must not look like a line of hubbot's.
"""

import logging

from hubbot.printable import printable


def as_text(record: logging.LogRecord) -> bool:
    """Turn a record's message into text, in place; a filter for a handler, which drops nothing."""
    record.msg = printable(record.getMessage(), lines=True).replace("\n", "\n    | ")
    record.args = ()
    return True
