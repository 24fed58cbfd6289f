"""What every HTTP listener of ours has in common: how strictly a head is read, who a client is, how much it may take.

Belongs here: `heads` (what is no request), `peers` (whose a connection is), `crowd` (which client makes room when there
are too many, and which is too slow), `protocol`, which applies them under uvicorn, and `handshakes`, which does so
before TLS is established. `heads` and `crowd` decide purely. Does not belong here: what a request means, and who signed
it.
"""
