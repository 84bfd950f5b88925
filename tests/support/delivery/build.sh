#!/usr/bin/env bash
# Builds helm, kustomize and kubeconform, pinned by go.mod, into a directory: build.sh DIR
# Helm renders for the Kubernetes version it was linked with; without a stamp that is 1.20, which the chart refuses.
set -euo pipefail
target=$(mkdir -p "${1:?usage: build.sh DIR}" && cd "$1" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")"
helm=$(go list -m -f '{{.Version}}' helm.sh/helm/v3)
kubernetes=$(go list -m -f '{{.Version}}' k8s.io/api) # v0.36.3 goes with Kubernetes 1.36
minor=${kubernetes#v0.}
go build -trimpath -o "$target/" -ldflags "\
  -X helm.sh/helm/v3/internal/version.version=$helm \
  -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1 \
  -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=${minor%%.*}" tool
