"""Uninformed Students: Bergmann, Fauser, Sattlegger, Steger, CVPR 2020, arXiv 1911.02357.

A *teacher*, a small network for patches that learnt on any pictures to describe them as a pretrained backbone
would, and *students* that learn on good images only to say the same. Where the students are wrong about the
teacher, or disagree with each other, is something that good parts don't have.

    options.py          what can be chosen, and the two presets
    patch_networks.py   networks of 17, 33 and 65 pixels, on single patches and on whole images
    pictures.py         what the teacher learns from
    losses.py           its three losses, and the students' one
    teacher.py          training it, or finding it trained
    teacher_file.py     the file that it's kept in
    fitting.py          training the students
    scorer.py           errors and variances, what's usual of them, and the map
"""

from __future__ import annotations

from edgead_plugins.students.options import StudentsOptions
from edgead_plugins.students.scorer import UninformedStudents

__all__ = ["StudentsOptions", "UninformedStudents"]
