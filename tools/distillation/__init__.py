"""How the ``default`` backbone is made; tools/train_default.py is the command."""
