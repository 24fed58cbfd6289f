"""IAM's policy language: documents read and validated, patterns and conditions compared with one request.

Pure: no store, no clock; what is judged comes as arguments. What policies together mean for a principal is
`evaluation`'s.
"""
