"""Read JSON that strangers wrote: the spellings that are understood, and what to say about all else."""
