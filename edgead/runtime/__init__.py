"""What runs on the camera: sessions, the detector, regions. Needs numpy, OpenCV and one engine."""
