"""IAM's entities and the rules of changing them: every change is a pure function from one directory to the next.

The ledger stores directories and knows no rule; `api/iam` finds the right function for each operation.
"""
