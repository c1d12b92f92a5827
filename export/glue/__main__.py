from export.glue.graphs import glues, graph
from export.repository.profiles import glue_file

for glue in glues():
    glue_file(glue.name).write_bytes(graph(glue))
