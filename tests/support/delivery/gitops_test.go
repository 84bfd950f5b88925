package delivery

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"sigs.k8s.io/yaml"
)

// fluxTypes are those of Flux's own API modules by apiVersion and kind.
var fluxTypes = map[string]func() any{
	"helm.toolkit.fluxcd.io/v2 HelmRelease":        func() any { return &helmv2.HelmRelease{} },
	"kustomize.toolkit.fluxcd.io/v1 Kustomization": func() any { return &kustomizev1.Kustomization{} },
	"source.toolkit.fluxcd.io/v1 GitRepository":    func() any { return &sourcev1.GitRepository{} },
	"source.toolkit.fluxcd.io/v1 OCIRepository":    func() any { return &sourcev1.OCIRepository{} },
}

// samples are the objects of every file of a folder.
func samples(t *testing.T, folder string) map[string]object {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, folder, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]object{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range objects(t, string(text)) {
			all[filepath.Base(file)+" "+name] = value
		}
	}
	return all
}

// No API server has Flux's schemas built in: its own types, read strictly, find a misspelt field.
func TestFluxSamplesAreStrict(t *testing.T) {
	seen := map[string]int{}
	for name, value := range samples(t, "deploy/flux") {
		kind := value["apiVersion"].(string) + " " + value["kind"].(string)
		newTarget, ok := fluxTypes[kind]
		if !ok {
			t.Errorf("%s: this test does not know %s", name, kind)
			continue
		}
		seen[kind]++
		text, err := yaml.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.UnmarshalStrict(text, newTarget()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		// The check itself can fail.
		misspelt := strings.Replace(string(text), "  interval:", "  intervall:", 1)
		if err := yaml.UnmarshalStrict([]byte(misspelt), newTarget()); err == nil || !strings.Contains(err.Error(), "intervall") {
			t.Errorf("%s: a misspelt field is not found: %v", name, err)
		}
	}
	if len(seen) < 3 {
		t.Errorf("checked only %v", seen)
	}
}

// What the samples set is held to the chart's own schema of values.
func TestTheSamplesSetValuesOfTheChart(t *testing.T) {
	argocd := parse[struct {
		Spec struct {
			Source struct{ Helm struct{ ValuesObject object } }
		}
	}](t, read(t, "deploy/argocd/samples/operator.yaml"))
	flux := parse[struct{ Spec struct{ Values object } }](t, read(t, "deploy/flux/operator.helmrelease.yaml"))
	for name, values := range map[string]object{"Argo CD": argocd.Spec.Source.Helm.ValuesObject, "Flux": flux.Spec.Values} {
		if len(values) == 0 {
			t.Errorf("the sample for %s sets no values", name)
		}
		if _, err := helm(t, values); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		values["clustername"] = "misspelt"
		if _, err := helm(t, values); err == nil {
			t.Errorf("%s: a misspelt value is not found", name)
		}
	}
}
