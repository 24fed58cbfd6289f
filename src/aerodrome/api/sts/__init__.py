"""The operations of STS: who one is, and temporary credentials for roles, by IAM's word or an OIDC issuer's."""
