"""The OpenAPI 3.1 document of the gateway, served at `/openapi.json` and written to docs/openapi.yaml.

document     `openapi` puts it together
photo_calls  the calls for one photo: remove.bg's and rembg's
job_calls    the calls about jobs
components   schemas and answers that several calls share
parts        what all of these are built from
"""

from producer.gateway.openapi.document import openapi

__all__ = ["openapi"]
