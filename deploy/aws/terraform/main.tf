# The AWS resources of one account. The documents are the JSON files in the parent directory, so that Terraform,
# CloudFormation and a policy simulator use the same text.

data "aws_partition" "current" {}
data "aws_caller_identity" "current" {}

locals {
  member   = var.identity == "member-account"
  name     = local.member ? "aurora-log-export-operator-member" : "aurora-log-export-operator"
  boundary = "arn:${data.aws_partition.current.partition}:iam::${data.aws_caller_identity.current.account_id}:policy/aurora-log-export-boundary"

  placeholders = {
    Partition              = data.aws_partition.current.partition
    AccountId              = data.aws_caller_identity.current.account_id
    IamPath                = var.iam_path
    ClusterName            = var.cluster_name
    PermissionsBoundaryArn = local.boundary
  }

  operator_policy = jsondecode(templatefile(
    "${path.module}/../${var.require_permissions_boundary ? "operator-policy.json" : "operator-policy-without-boundary.json"}",
    local.placeholders,
  ))
  # The role of a member account does not assume other roles.
  statements = [for statement in local.operator_policy.Statement : statement if !(local.member && statement.Sid == "WorkInMemberAccounts")]

  trust_policy = {
    irsa = templatefile("${path.module}/../trust-policy-irsa.json", merge(local.placeholders, {
      OidcProvider = coalesce(var.oidc_provider, "unset")
    }))
    pod-identity = templatefile("${path.module}/../trust-policy-pod-identity.json", merge(local.placeholders, {
      ClusterArn = coalesce(var.eks_cluster_arn, "unset")
    }))
    member-account = templatefile("${path.module}/../trust-policy-member-account.json", {
      OperatorRoleArn = coalesce(var.operator_role_arn, "unset")
      ExternalId      = coalesce(var.external_id, "unset")
    })
  }
}

resource "aws_iam_policy" "boundary" {
  count       = var.require_permissions_boundary ? 1 : 0
  name        = "aurora-log-export-boundary"
  description = "Permissions boundary of the roles that aurora-log-export-operator creates"
  policy      = templatefile("${path.module}/../permissions-boundary.json", local.placeholders)
  tags        = var.tags
}

resource "aws_iam_policy" "operator" {
  name        = local.name
  description = "Permissions of aurora-log-export-operator in this account"
  policy = jsonencode({
    Version   = local.operator_policy.Version
    Statement = local.statements
  })
  tags = var.tags
}

resource "aws_iam_policy" "adoption" {
  count       = var.allow_adoption ? 1 : 0
  name        = "${local.name}-adoption"
  description = "Allows aurora-log-export-operator to adopt existing policies and roles"
  policy      = templatefile("${path.module}/../operator-policy-adoption.json", local.placeholders)
  tags        = var.tags
}

resource "aws_iam_policy" "exclusive_attachments" {
  count       = var.allow_exclusive_attachments ? 1 : 0
  name        = "${local.name}-exclusive"
  description = "Allows aurora-log-export-operator to remove policies of others from its roles"
  policy      = templatefile("${path.module}/../operator-policy-exclusive.json", local.placeholders)
  tags        = var.tags
}

resource "aws_iam_role" "operator" {
  name               = local.name
  description        = "aurora-log-export-operator of cluster ${var.cluster_name}"
  assume_role_policy = local.trust_policy[var.identity]
  tags               = var.tags

  lifecycle {
    precondition {
      condition     = var.identity != "irsa" || var.oidc_provider != null
      error_message = "identity irsa needs oidc_provider."
    }
    precondition {
      condition     = var.identity != "pod-identity" || var.eks_cluster_arn != null
      error_message = "identity pod-identity needs eks_cluster_arn."
    }
    precondition {
      condition     = !local.member || (var.operator_role_arn != null && var.external_id != null)
      error_message = "identity member-account needs operator_role_arn and external_id."
    }
  }
}

resource "aws_iam_role_policy_attachment" "operator" {
  role       = aws_iam_role.operator.name
  policy_arn = aws_iam_policy.operator.arn
}

resource "aws_iam_role_policy_attachment" "adoption" {
  count      = var.allow_adoption ? 1 : 0
  role       = aws_iam_role.operator.name
  policy_arn = aws_iam_policy.adoption[0].arn
}

resource "aws_iam_role_policy_attachment" "exclusive_attachments" {
  count      = var.allow_exclusive_attachments ? 1 : 0
  role       = aws_iam_role.operator.name
  policy_arn = aws_iam_policy.exclusive_attachments[0].arn
}
