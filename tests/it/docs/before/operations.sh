kubectl apply -f - >/dev/null <<'YAML'
apiVersion: auroralogexport.dev/v1alpha1
kind: AuroraLogExportPolicy
metadata: {name: orders, namespace: shop}
spec: {}
YAML
kubectl -n shop wait --for=condition=Ready alep/orders --timeout=60s >/dev/null
