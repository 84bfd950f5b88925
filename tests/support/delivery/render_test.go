package delivery

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

const (
	chart     = "deploy/helm/aurora-log-export-operator"
	release   = "aurora-log-export-operator"
	namespace = "aurora-log-export-system"
)

type object = map[string]any

// objects keys the documents of a stream by kind, namespace and name.
func objects(t *testing.T, stream string) map[string]object {
	t.Helper()
	found := map[string]object{}
	for _, document := range strings.Split("\n"+stream, "\n---") {
		value := parse[object](t, document)
		if len(value) == 0 {
			continue
		}
		metadata := value["metadata"].(object)
		found[fmt.Sprintf("%v %v/%v", value["kind"], metadata["namespace"], metadata["name"])] = value
	}
	return found
}

// templates are the chart's files with these values, by path.
func templates(t *testing.T, values object) (map[string]string, error) {
	t.Helper()
	loaded, err := loader.Load(filepath.Join(root, chart))
	if err != nil {
		t.Fatal(err)
	}
	options := chartutil.ReleaseOptions{Name: release, Namespace: namespace, IsInstall: true}
	all, err := chartutil.ToRenderValues(loaded, values, options, nil)
	if err != nil {
		return nil, err
	}
	return engine.Render(loaded, all)
}

func helm(t *testing.T, values object) (map[string]object, error) {
	t.Helper()
	rendered, err := templates(t, values)
	if err != nil {
		return nil, err
	}
	var stream []string
	for path, text := range rendered {
		if strings.HasSuffix(path, ".yaml") {
			stream = append(stream, text)
		}
	}
	return objects(t, strings.Join(stream, "\n---\n")), nil
}

func kustomize(t *testing.T, path string) map[string]object {
	t.Helper()
	build := krusty.MakeKustomizer(krusty.MakeDefaultOptions())
	resources, err := build.Run(filesys.MakeFsOnDisk(), filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	stream, err := resources.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	return objects(t, string(stream))
}

// canonical is the object without what only Helm adds.
func canonical(value object) string {
	metadata := value["metadata"].(object)
	if labels, ok := metadata["labels"].(object); ok {
		for _, label := range []string{"app.kubernetes.io/version", "app.kubernetes.io/managed-by", "helm.sh/chart"} {
			delete(labels, label)
		}
	}
	if annotations, ok := metadata["annotations"].(object); ok {
		delete(annotations, "helm.sh/resource-policy")
		if len(annotations) == 0 {
			delete(metadata, "annotations")
		}
	}
	text, _ := json.Marshal(value)
	pretty, _ := yaml.JSONToYAML(text)
	return string(pretty)
}

func names(all map[string]object) []string {
	var sorted []string
	for name := range all {
		sorted = append(sorted, name)
	}
	sort.Strings(sorted)
	return sorted
}

func TestChartAndKustomizeBaseRenderTheSame(t *testing.T) {
	compare(t, kustomize(t, "deploy/kustomize/base"), object{})
}

func TestChartAndKustomizeRenderTheSameForOneNamespace(t *testing.T) {
	// Names of roles differ, rights must not.
	chart, err := helm(t, object{"operator": object{"watchNamespace": []any{"databases"}}})
	if err != nil {
		t.Fatal(err)
	}
	base := kustomize(t, "deploy/kustomize/overlays/single-namespace")
	for helmName, kustomizeName := range map[string]string{
		"ClusterRole <nil>/" + release: "ClusterRole <nil>/" + release,
		"Role databases/" + release:    "Role databases/" + release + "-watched",
		"Role default/" + release:      "Role default/" + release + "-events",
	} {
		want, got := base[kustomizeName], chart[helmName]
		if want == nil || got == nil {
			t.Fatalf("missing: %s %v, %s %v", kustomizeName, want != nil, helmName, got != nil)
		}
		if fmt.Sprint(want["rules"]) != fmt.Sprint(got["rules"]) {
			t.Errorf("%s: kustomize grants %v, the chart %v", helmName, want["rules"], got["rules"])
		}
	}
}

func TestWithoutTheClusterRoleTheChartGrantsRolesOnly(t *testing.T) {
	chart, err := helm(t, object{
		"crds": object{"install": false}, "rbac": object{"clusterRole": false, "userRoles": false},
		"operator": object{"watchNamespace": []any{"shop", "pay"}, "clusterUid": "u"},
	})
	if err != nil {
		t.Fatal(err)
	}
	var granted []string
	for _, name := range names(chart) {
		if strings.Contains(name, "Role") || strings.Contains(name, "CustomResource") {
			granted = append(granted, name)
		}
	}
	var want []string
	for _, kind := range []string{"Role", "RoleBinding"} {
		want = append(want, kind+" "+namespace+"/"+release+"-leader-election", kind+" pay/"+release, kind+" shop/"+release)
	}
	sort.Strings(want)
	if fmt.Sprint(granted) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", granted, want)
	}
}

func TestChartAndKustomizeComponentRenderTheSameOutputs(t *testing.T) {
	chart, err := helm(t, object{"operator": object{"enableOutputs": true}})
	if err != nil {
		t.Fatal(err)
	}
	component := kustomize(t, "deploy/kustomize/components/outputs")
	if len(component) != 4 {
		t.Fatalf("the component has %v", names(component))
	}
	for name, want := range component {
		got := chart[name]
		if got == nil {
			t.Errorf("the chart lacks %s", name)
			continue
		}
		// The chart knows the ServiceAccount; with kustomize, its name and namespace may still change.
		for _, rendered := range []object{want, got} {
			if spec, has := rendered["spec"].(object); has {
				delete(spec, "matchConditions")
			}
		}
		if canonical(got) != canonical(want) {
			t.Errorf("%s differs:\n--- kustomize\n%s\n--- chart\n%s", name, canonical(want), canonical(got))
		}
	}
}

func compare(t *testing.T, base map[string]object, values object) {
	t.Helper()
	chart, err := helm(t, values)
	if err != nil {
		t.Fatal(err)
	}
	// Helm makes the namespace itself (--create-namespace).
	if base["Namespace <nil>/"+namespace] == nil {
		t.Error("the kustomize base lacks its namespace")
	}
	delete(base, "Namespace <nil>/"+namespace)
	if want, got := names(base), names(chart); fmt.Sprint(want) != fmt.Sprint(got) {
		t.Fatalf("kustomize renders\n%v\nthe chart\n%v", want, got)
	}
	for name, want := range base {
		if canonical(want) != canonical(chart[name]) {
			t.Errorf("%s differs:\n--- kustomize\n%s\n--- chart\n%s", name, canonical(want), canonical(chart[name]))
		}
	}
}

func TestTheChartRefusesWrongValues(t *testing.T) {
	for why, values := range map[string]object{
		"a misspelt value":                     {"clusterNam": "x"},
		"a misspelt flag":                      {"operator": object{"iamPaht": "/x/"}},
		"a cluster name with a space":          {"clusterName": "my cluster"},
		"an account id that lost its zero":     {"operator": object{"accountId": 12345678901}},
		"a path without a slash at its end":    {"operator": object{"iamPath": "/x"}},
		"two replicas without leader election": {"operator": object{"leaderElect": false}},
		"a digest that is none":                {"image": object{"digest": "latest"}},
		"no ClusterRole and all namespaces":    {"clusterName": "x", "rbac": object{"clusterRole": false}},
		"no ClusterRole and no identity": {
			"rbac": object{"clusterRole": false}, "operator": object{"watchNamespace": []any{"shop"}},
		},
		"a deletion policy that does not exist": {"operator": object{"defaultDeletionPolicy": "Keep"}},
	} {
		if _, err := helm(t, values); err == nil {
			t.Errorf("accepted %s", why)
		}
	}
}

func TestEveryFlagOfTheChartReachesTheOperator(t *testing.T) {
	all, err := helm(t, object{
		"clusterName": "prod",
		"operator": object{
			"clusterUid": "u", "previousClusterUid": []any{"a", "b"}, "accountId": 123456789012.0, "iamPath": "/x/",
			"watchNamespace": []any{"shop", "pay"}, "driftCheckInterval": "90s", "driftScan": "bulk",
			"iamReadsPerSecond": 12.5, "iamWritesPerSecond": 3.0, "concurrency": 1000000.0,
			"defaultDeletionPolicy": "Retain", "allowFullAccess": false, "allowAdoptExisting": true,
			"requireAccountRef": true, "enableOutputs": true, "logFilter": "info,x=debug",
			"otlpEndpoint": "http://otel:4317", "extraArgs": []any{"--more"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	var deployment struct {
		Spec struct {
			Template struct {
				Spec struct{ Containers []struct{ Args []string } }
			}
		}
	}
	text, _ := json.Marshal(all["Deployment "+namespace+"/"+release])
	if err := json.Unmarshal(text, &deployment); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(deployment.Spec.Template.Spec.Containers[0].Args, " ")
	want := "run --http-addr=[::]:8080 --leader-elect=true --log-format=json --log-filter=info,x=debug " +
		"--otlp-endpoint=http://otel:4317 --cluster-name=prod --cluster-uid=u --previous-cluster-uid=a --previous-cluster-uid=b " +
		"--account-id=123456789012 --iam-path=/x/ --watch-namespace=shop --watch-namespace=pay " +
		"--drift-check-interval=90s --drift-scan=bulk --iam-reads-per-second=12.5 --iam-writes-per-second=3 " +
		"--concurrency=1000000 --default-deletion-policy=Retain --allow-full-access=false " +
		"--allow-adopt-existing=true --require-account-ref=true --enable-outputs=true --more"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
