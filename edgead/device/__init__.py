"""What may run on the camera beside the detector: numpy, never onnx, spox or torch."""
