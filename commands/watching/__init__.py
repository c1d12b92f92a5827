"""The live view in a terminal, from the workers' own /metrics: cutstream/watching/ asks for it and computes it.

screen    the view as a picture for a terminal, and as a line
progress  the line of `cutstream up`
"""
