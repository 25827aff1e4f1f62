"""What methods that train a network are built from, for first and third parties alike; see docs/training.md.

This module and the methods that use it import without torch; the modules in here need it, and are imported
when something is trained.
"""
