"""The live view in a terminal, from the workers' own /metrics.

scraping  asks workers for their metrics, once a second
view      what two answers of each worker say: pure functions
screen    the view as a picture for a terminal, and as a line
progress  the line of `cutstream up`
"""
