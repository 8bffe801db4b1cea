"""What the console view is made of. Only `export/console.py` imports it, and only when there is a view: it needs rich.

bytes ──▶ parse ──▶ span (what is shown of one) ──▶ traces (what is printed together, when) ──▶ tree, lines ──▶ text
"""
