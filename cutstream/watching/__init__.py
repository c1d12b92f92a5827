"""What workers say about themselves, for everything that shows it: `cutstream top`, the line of `up`, the live page.

scraping  asks workers for their metrics, once a second
view      what two answers of each worker say: pure functions
recent    the last photos and failures of one worker
page/     the live page
"""
