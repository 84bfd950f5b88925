output "role_arn" {
  description = "IRSA: the ServiceAccount's annotation eks.amazonaws.com/role-arn. Pod Identity: the association's role. Member account: AwsAccount.spec.assumeRole.roleArn."
  value       = aws_iam_role.operator.arn
}

output "permissions_boundary_arn" {
  description = "For AwsAccount.spec.guardrails.permissionsBoundary, or spec.permissionsBoundary of each policy."
  value       = one(aws_iam_policy.boundary[*].arn)
}
