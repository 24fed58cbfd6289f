"""What runs in processes of its own while a release is built or verified.

`supervise` runs under the control plane's Python, the others under Airflow's interpreter. All are started as scripts
and import nothing of ours, so they keep to the syntax of Python 3.7. They decide nothing: they act, and report what
happened.
"""
