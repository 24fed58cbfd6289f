"""The door of every AWS service but MWAA, IAM and STS: signature, action, decision, and only then the emulator.

It runs in a process of its own (`aerodrome.aws_door`): what tasks read and write neither needs the control plane nor
keeps it busy. `app` is the way of a request; `requested` says what it asks for, `s3` and `operations` by service;
`resources` has the policies of resources, `refusals` the words of each protocol, `passing` the way to the emulator.
"""
