"""A module a format: bring the file into a shape that its library reads without fault, and let the library decode it.

What only describes a picture (EXIF, texts, profiles, resolutions) is read here and kept from the libraries, so that
damage in it costs no picture. Each module has `read(data, header) -> Raster`. ADR 14 says which library decodes what.
"""
