"""The published data sets' folder layouts, and the plain folders of good and bad images."""

from __future__ import annotations

from edgead.hookspecs import hookimpl
from edgead.types import Register

edgead_api = 1


@hookimpl
def edgead_register_layouts(register: Register) -> None:
    here = "edgead_plugins.layouts"
    register("plain", f"{here}.plain:Plain", "good/ or ok/ and a folder for each defect, here or in test/")
    register("mvtec", f"{here}.mvtec:MVTec", "MVTec AD and its like: VisA converted, your own")
    register("mvtec-loco", f"{here}.mvtec:MVTecLOCO", "MVTec LOCO AD: several masks for an image")
    register("mvtec-ad-2", f"{here}.mvtec:MVTecAD2", "MVTec AD 2: its public test images")
    register("mpdd", f"{here}.mvtec:MPDD", "MPDD: MVTec's form, six kinds of metal parts")
    register("btad", f"{here}.btad:BTAD", "BTAD (beanTech): ok and ko")
    register("visa", f"{here}.visa:VisA", "VisA as published, divided by split_csv/1cls.csv")
    register("kolektor-sdd", f"{here}.kolektor:KolektorSDD", "kosNN/PartN.jpg and PartN_label.bmp")
    register(
        "kolektor-sdd2", f"{here}.kolektor:KolektorSDD2", "NNNNN.png and NNNNN_GT.png, in train and test"
    )
