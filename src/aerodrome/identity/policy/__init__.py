"""IAM's policy language: documents are read and validated, patterns and conditions are compared with one request.

Pure: no store, no clock; everything comes as arguments. `evaluation` decides what several policies mean together.
"""
