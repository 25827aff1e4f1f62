"""What the command line does, a call each: ``edgead.fit``, ``export``, ``evaluate``, ``compare``, ``verify``.

Each call has the verb's words and defaults, reports no progress unless told to, logs what it doubts at
WARNING, and returns a record. The verbs call the same functions and print.
"""
