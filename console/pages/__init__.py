"""The pages, a module per noun; each gives its `routes`. How to write one: `console/page.py`."""
