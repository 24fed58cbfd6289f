"""The operations of IAM: inputs → a change of the directory, or a look at it → outputs as the model names them."""
