"""The command line: one module for each group of commands.

It may import every package, and no package imports it. Commands import what they need inside their functions, so that
`cutstream --help` stays fast.
"""
