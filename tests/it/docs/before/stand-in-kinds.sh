# Kinds of other projects, by name only: their controllers are not here, and any field is taken.
stand_in() { # GROUP VERSION SCOPE KIND...
  group=$1 version=$2 scope=$3
  shift 3
  for kind; do
    singular=$(echo "$kind" | tr '[:upper:]' '[:lower:]')
    plural=$(echo "$singular" | sed -e 's/y$/ie/')s
    cat <<YAML
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: $plural.$group}
spec:
  group: $group
  scope: $scope
  names: {kind: $kind, singular: $singular, plural: $plural}
  versions:
    - name: $version
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
YAML
  done
}
stand_ins() {
  kubectl apply --server-side -f stand-ins.yaml >/dev/null
  kubectl wait --for=condition=Established -f stand-ins.yaml --timeout=60s >/dev/null
}
