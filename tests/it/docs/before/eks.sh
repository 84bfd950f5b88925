aws eks create-cluster --name my-cluster --role-arn arn:aws:iam::123456789012:role/eks \
  --resources-vpc-config subnetIds=subnet-1,subnet-2 >/dev/null 2>&1 || aws eks describe-cluster --name my-cluster >/dev/null
