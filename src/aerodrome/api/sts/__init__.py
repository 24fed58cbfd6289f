"""The operations of STS: who the caller is, and temporary credentials for roles, granted by IAM or an OIDC issuer."""
