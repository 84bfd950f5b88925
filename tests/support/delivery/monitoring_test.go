package delivery

import (
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"sigs.k8s.io/yaml"
)

// No API server has the Prometheus operator's schemas built in: its own types, read strictly, find a misspelt field.
func TestMonitoringObjectsAreStrict(t *testing.T) {
	switches := object{}
	for _, name := range []string{"serviceMonitor", "podMonitor", "prometheusRule"} {
		switches[name] = object{"enabled": true}
	}
	all, err := helm(t, object{"metrics": switches})
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range kustomize(t, "deploy/monitoring") {
		all["kustomize "+name] = value
	}
	checked := map[string]int{}
	for name, value := range all {
		kind := value["kind"].(string)
		var target any
		switch kind {
		case monitoring.ServiceMonitorsKind:
			target = &monitoring.ServiceMonitor{}
		case monitoring.PodMonitorsKind:
			target = &monitoring.PodMonitor{}
		case monitoring.PrometheusRuleKind:
			target = &monitoring.PrometheusRule{}
		default:
			continue
		}
		checked[kind]++
		text, err := yaml.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.UnmarshalStrict(text, target); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if checked[monitoring.ServiceMonitorsKind] < 2 || checked[monitoring.PodMonitorsKind] < 1 || checked[monitoring.PrometheusRuleKind] < 2 {
		t.Errorf("checked only %v", checked)
	}
}
