"""The first-party plugins: methods, their backbones and the shared pieces that they are built from."""
