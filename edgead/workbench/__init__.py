"""Good images to bundle: features, graph, quantisation, calibration, gates, export. Needs ``edgead[fit]``."""
