"""rest-json, the server's side: routes, requests, constraints, answers and errors, all read from botocore's model.

Nothing here knows what an operation means, and nothing that the model says is typed a second time.
"""
