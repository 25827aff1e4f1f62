"""Good images to bundle: features, composition, quantisation, calibration, gates, export. Needs ``edgead[fit]``."""
