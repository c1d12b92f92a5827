from export.glue.graphs import export_glue, glue_graphs
from export.profiles import glue_file

for glue in glue_graphs():
    glue_file(glue.name).write_bytes(export_glue(glue))
