cat >guide.json <<'JSON'
{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Action": ["logs:GetLogEvents", "logs:PutLogEvents"], "Resource": "arn:aws:logs:*:*:log-group:/aws/rds/*:log-stream:*"},
  {"Effect": "Allow", "Action": ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutRetentionPolicy"], "Resource": "arn:aws:logs:*:*:log-group:/aws/rds/*"},
  {"Effect": "Allow", "Action": "logs:CreateLogGroup", "Resource": "*"}]}
JSON
cat >trust.json <<'JSON'
{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "rds.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
JSON
for name in AuroraLogsOrders AuroraLogsInvoices aurora-log-export-operator; do
  aws iam create-role --role-name $name --assume-role-policy-document file://trust.json >/dev/null
done
for name in AuroraLogsOrders AuroraLogsInvoices; do
  aws iam create-policy --policy-name $name --policy-document file://guide.json >/dev/null
  aws iam attach-role-policy --role-name $name --policy-arn arn:aws:iam::111122223333:policy/$name
done
# The old owners of the sections on ACK and Crossplane.
{ stand_in iam.services.k8s.aws v1alpha1 Namespaced Role Policy
  stand_in iam.aws.upbound.io v1beta1 Cluster Role Policy RolePolicyAttachment; } >stand-ins.yaml
stand_ins
kubectl create -f - >/dev/null <<'YAML'
{apiVersion: iam.services.k8s.aws/v1alpha1, kind: Role, metadata: {name: orders, namespace: shop}, spec: {}}
---
{apiVersion: iam.services.k8s.aws/v1alpha1, kind: Policy, metadata: {name: orders, namespace: shop}, spec: {}}
---
{apiVersion: iam.aws.upbound.io/v1beta1, kind: Role, metadata: {name: orders}, spec: {}}
---
{apiVersion: iam.aws.upbound.io/v1beta1, kind: Policy, metadata: {name: orders}, spec: {}}
---
{apiVersion: iam.aws.upbound.io/v1beta1, kind: RolePolicyAttachment, metadata: {name: orders}, spec: {}}
YAML
