"""The operator's page: what the line does now and did lately, and the few things that people may change."""

from __future__ import annotations
