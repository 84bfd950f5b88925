variable "cluster_name" {
  description = "The operator's --cluster-name, or the UID of the namespace kube-system if it is unset."
  type        = string
  validation {
    condition     = can(regex("^[A-Za-z0-9._-]{1,63}$", var.cluster_name))
    error_message = "cluster_name must have 1 to 63 characters of A-Z, a-z, 0-9, dot, underscore and hyphen."
  }
}

variable "iam_path" {
  description = "The operator's --iam-path: all its policies and roles are under it. The operator's own role and the boundary must not be."
  type        = string
  default     = "/aurora-log-export/"
  validation {
    condition     = can(regex("^(/[A-Za-z0-9.,+@=_-]+)+/$", var.iam_path))
    error_message = "iam_path must begin and end with a slash and must not be only \"/\"."
  }
}

variable "require_permissions_boundary" {
  description = "Allow the operator to create roles only with the permissions boundary of this module. No IAM condition can check the content of a policy document, so only the boundary limits the roles reliably."
  type        = bool
  default     = true
}

variable "allow_adoption" {
  description = "Allow the operator to adopt existing policies and roles under iam_path (spec.adoptionPolicy)."
  type        = bool
  default     = false
}

variable "allow_exclusive_attachments" {
  description = "Allow the operator to remove policies of others from its roles (spec.attachmentPolicy: Exclusive)."
  type        = bool
  default     = false
}

variable "identity" {
  description = "How the operator assumes the role: irsa or pod-identity in its own account, member-account in every other account."
  type        = string
  validation {
    condition     = contains(["irsa", "pod-identity", "member-account"], var.identity)
    error_message = "identity must be irsa, pod-identity or member-account."
  }
}

variable "oidc_provider" {
  description = "With identity irsa: the cluster's OIDC issuer without https://."
  type        = string
  default     = null
}

variable "eks_cluster_arn" {
  description = "With identity pod-identity: ARN of the EKS cluster."
  type        = string
  default     = null
}

variable "operator_role_arn" {
  description = "With identity member-account: ARN of the operator's role in its own account."
  type        = string
  default     = null
}

variable "external_id" {
  description = "With identity member-account: the value of AwsAccount.spec.assumeRole.externalId."
  type        = string
  default     = null
  sensitive   = true
}

variable "tags" {
  description = "Tags of the resources that this module creates."
  type        = map(string)
  default     = {}
}
