"""The operations of IAM: each changes or reads the directory, and answers with the members that the model names."""
