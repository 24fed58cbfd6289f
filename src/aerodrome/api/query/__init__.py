"""The server's side of the AWS query protocol, for IAM and STS: form fields in, XML out, all by botocore's models.

It knows the protocol and the steps of a request; `api/iam` and `api/sts` know what an operation means. Signatures are
verified before `service.answer` is called.
"""
