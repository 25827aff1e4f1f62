"""edgead's version, for whoever writes it down: the package's face stands above everything that does."""

__version__ = "0.1.0"

__all__ = ["__version__"]
