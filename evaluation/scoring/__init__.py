"""`cutstream evaluate`: photos with true masks, mattes for them, and how good these are (docs/evaluation.md).

folder → (predict, or mattes that are there already) → measure → report → table, JSON, pictures.
"""
