package delivery

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// root is the repository.
const root = "../../.."

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func parse[T any](t *testing.T, text string) T {
	t.Helper()
	var value T
	if err := yaml.Unmarshal([]byte(text), &value); err != nil {
		t.Fatal(err)
	}
	return value
}

// A chart can only contain files below it, so it carries copies.
func TestTheChartsCopiesAreFresh(t *testing.T) {
	const files = "deploy/helm/aurora-log-export-operator/files/"
	for copied, source := range map[string]string{
		"crds/auroralogexportpolicies.yaml": "crds/auroralogexportpolicies.yaml",
		"crds/awsaccounts.yaml":             "crds/awsaccounts.yaml",
		"dashboard.json":                    "deploy/monitoring/dashboard.json",
		"prometheusrule.yaml":               "deploy/monitoring/prometheusrule.yaml",
	} {
		if read(t, files+copied) != read(t, source) {
			t.Errorf("%s is stale: cp %s %s", files+copied, source, files+copied)
		}
	}
	entries, err := os.ReadDir(filepath.Join(root, files+"crds"))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 2 {
		t.Errorf("the chart has %d CRDs, this test knows 2", len(entries))
	}
}

func TestArgoCDsConfigMapHoldsTheScripts(t *testing.T) {
	const group = "auroralogexport.dev_"
	configMap := parse[struct{ Data map[string]string }](t, read(t, "deploy/argocd/argocd-cm.yaml"))
	for _, kind := range []string{"AuroraLogExportPolicy", "AwsAccount"} {
		if configMap.Data["resource.customizations.health."+group+kind] != read(t, "deploy/argocd/health.lua") {
			t.Errorf("argocd-cm.yaml differs from health.lua for %s", kind)
		}
	}
	actions := parse[struct {
		Discovery   string `json:"discovery.lua"`
		Definitions []struct {
			Name   string `json:"name"`
			Script string `json:"action.lua"`
		} `json:"definitions"`
	}](t, configMap.Data["resource.customizations.actions."+group+"AuroraLogExportPolicy"])
	if actions.Discovery != read(t, "deploy/argocd/actions/discovery.lua") {
		t.Error("argocd-cm.yaml differs from actions/discovery.lua")
	}
	if len(actions.Definitions) != 3 {
		t.Errorf("argocd-cm.yaml has %d actions, want 3", len(actions.Definitions))
	}
	for _, action := range actions.Definitions {
		if action.Script != read(t, "deploy/argocd/actions/"+action.Name+"/action.lua") {
			t.Errorf("argocd-cm.yaml differs from actions/%s/action.lua", action.Name)
		}
	}
}

// anchors are the headings of a page as its links spell them.
func anchors(page string) map[string]bool {
	found := map[string]bool{}
	for _, line := range strings.Split(page, "\n") {
		if heading, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && strings.HasPrefix(line, "#") {
			found[strings.ReplaceAll(strings.ToLower(heading), " ", "-")] = true
		}
	}
	return found
}

func TestEveryAlertLinksToItsRunbook(t *testing.T) {
	rules := parse[struct {
		Spec struct {
			Groups []struct {
				Rules []struct {
					Alert       string
					Annotations map[string]string
				}
			}
		}
	}](t, read(t, "deploy/monitoring/prometheusrule.yaml"))
	known := anchors(read(t, "docs/operations.md"))
	for _, rule := range rules.Spec.Groups[0].Rules {
		page, anchor, _ := strings.Cut(rule.Annotations["runbook_url"], "#")
		if page != "docs/operations.md" || !known[anchor] {
			t.Errorf("%s links to %q, which is not there", rule.Alert, rule.Annotations["runbook_url"])
		}
	}
}
