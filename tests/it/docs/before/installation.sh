kubectl apply --server-side -f - >/dev/null <<'YAML'
apiVersion: v1
kind: Namespace
metadata: {name: argocd}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: argocd-cm, namespace: argocd}
YAML
stand_in monitoring.coreos.com v1 Namespaced ServiceMonitor PodMonitor PrometheusRule >stand-ins.yaml
stand_ins
