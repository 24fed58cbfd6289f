"""The server's side of rest-json: routes, requests, constraints, answers and errors, all read from botocore's model.

No module here knows what an operation means, and none repeats what the model says.
"""
