"""The AWS query protocol, the server's side, for IAM and STS: form fields in, XML out, all by botocore's models.

Knows the protocol and the life of a request; what an operation means is `api/iam`'s and `api/sts`'s. Signatures are
verified before `service.answer` is called.
"""
