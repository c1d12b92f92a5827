"""Files as strangers send them, through the real path of the worker: mutants and bombs, each outcome judged."""
