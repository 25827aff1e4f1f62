"""Synthetic defects to train with, put onto good images as the papers do it.

``edgead.workbench.defects`` makes *graded* defects for the precision gate, most of them hard to see; these
here are the training methods' own, as strong as their papers have them. A training that used the gate's
would be judged by what it was trained on.
"""
