variable "cluster_name" {
  description = "The operator's --cluster-name. Where that is unset: the UID of the namespace kube-system."
  type        = string
  validation {
    condition     = can(regex("^[A-Za-z0-9._-]{1,63}$", var.cluster_name))
    error_message = "cluster_name has 1 to 63 characters of A-Z, a-z, 0-9, dot, underscore and hyphen."
  }
}

variable "iam_path" {
  description = "The operator's --iam-path: everything it makes lies under it. The operator's own role and the boundary must not."
  type        = string
  default     = "/aurora-log-export/"
  validation {
    condition     = can(regex("^(/[A-Za-z0-9.,+@=_-]+)+/$", var.iam_path))
    error_message = "iam_path begins and ends with a slash and is not \"/\" alone."
  }
}

variable "require_permissions_boundary" {
  description = "Let the operator make roles only behind the boundary of this module. No IAM condition can look into a policy document, so the boundary is what limits a role for certain."
  type        = bool
  default     = true
}

variable "allow_adoption" {
  description = "Let the operator take existing policies and roles under iam_path over (spec.adoptionPolicy)."
  type        = bool
  default     = false
}

variable "identity" {
  description = "How the operator gets at the role: irsa or pod-identity in its own account, member-account in every other."
  type        = string
  validation {
    condition     = contains(["irsa", "pod-identity", "member-account"], var.identity)
    error_message = "identity is irsa, pod-identity or member-account."
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
  description = "With identity member-account: what AwsAccount.spec.assumeRole.externalId says."
  type        = string
  default     = null
  sensitive   = true
}

variable "tags" {
  description = "Tags for what this module makes."
  type        = map(string)
  default     = {}
}
