"""Anomalies to train with, drawn on good images as the papers draw them.

``edgead.workbench.defects`` draws *graded* defects for the precision gate, most of them hard to see; these
here are the training methods' own, as strong as their papers have them. A training that used the gate's
would be judged by what it was trained on.
"""
