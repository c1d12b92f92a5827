"""Photos by the folder: find them, send each once, and put what comes back where its owner expects it.

kinds      which files are photos, and what to call those that are not
walking    the photos below a folder, in flat memory
sources    what a command line names: files, folders, patterns, lists, addresses, parts of a bucket
lists      lists on standard input: how they are read, and what they name that is not there
checking   refuses before anything starts what cannot be done
naming     where the outputs of a photo go
identity   the ids of requests: the same photo and the same options have the same id
feeding    finds photos in a thread of its own, while others are sent
inbox      lends a photo to a worker that may not read its folder, and takes the outputs back
saving     writes outputs into the user's folder
exchange   sends what the ledger has, and notes what comes back
running    puts these together: the flow of `cutstream cut` and `cutstream submit`
reporting  progress, failed.csv

`producer/ledger.py` remembers what was sent and what came back.
"""
