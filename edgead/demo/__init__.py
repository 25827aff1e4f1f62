"""``edgead demo``: a generated product, inspected from good images to a page of verdicts."""
