"""The line: from a trigger to exactly one verdict, in time, whatever breaks.

The arbiter is the only one that says a verdict. It runs in the parent process and waits for nobody; cameras,
judges and sinks are processes that it starts, watches and ends. ``docs/line.md`` has the whole.
"""
