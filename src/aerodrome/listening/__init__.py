"""What every HTTP listener of ours has in common: how strictly a head is read, who a client is, how much it may take.

Belongs here: `heads` (what is no request), `peers` (whose connection it is), `crowd` (who makes room when there are too
many, and who is too slow), `protocol`, which applies them under uvicorn, and `handshakes`, which does where TLS is not
yet established. `heads` and `crowd` decide purely. Does not belong here: what a request means, and who signed it.
"""
