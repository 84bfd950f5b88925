package delivery

import (
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"
)

// described are the schema's values by path, with their descriptions. A value of several fields has none of its own.
func described(schema, whole object, path string, found map[string]string) {
	fields := schema
	if name, ok := schema["$ref"].(string); ok {
		fields = whole["definitions"].(object)[strings.TrimPrefix(name, "#/definitions/")].(object)
	}
	properties, ok := fields["properties"].(object)
	if !ok {
		found[path], _ = schema["description"].(string)
		return
	}
	for name, field := range properties {
		described(field.(object), whole, strings.TrimPrefix(path+"."+name, "."), found)
	}
}

// defaults are the paths of values.yaml that the schema knows as values.
func defaults(value any, known map[string]string, path string, found map[string]bool) {
	fields, ok := value.(object)
	if _, whole := known[path]; whole || !ok {
		found[path] = true
		return
	}
	for name, field := range fields {
		defaults(field, known, strings.TrimPrefix(path+"."+name, "."), found)
	}
}

func TestEveryValueHasADefaultAndADescription(t *testing.T) {
	schema := parse[object](t, read(t, chart+"/values.schema.json"))
	known := map[string]string{}
	described(schema, schema, "", known)
	// Helm sets it, the chart does not.
	delete(known, "global")
	set := map[string]bool{}
	defaults(parse[object](t, read(t, chart+"/values.yaml")), known, "", set)
	if len(known) < 60 {
		t.Errorf("the schema has only %d values", len(known))
	}
	for path, description := range known {
		if !set[path] {
			t.Errorf("values.yaml has no %s", path)
		}
		if len(description) < 10 {
			t.Errorf("values.schema.json does not say what %s is", path)
		}
		delete(set, path)
	}
	for path := range set {
		t.Errorf("values.schema.json does not know %s", path)
	}
}

func notes(t *testing.T, values object) string {
	t.Helper()
	rendered, err := templates(t, values)
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range rendered {
		if strings.HasSuffix(path, "NOTES.txt") {
			return text
		}
	}
	t.Fatal("the chart has no NOTES.txt")
	return ""
}

func TestTheNotesTellTheNextStep(t *testing.T) {
	role := "arn:aws:iam::111122223333:role/x"
	irsa := object{"annotations": object{"eks.amazonaws.com/role-arn": role}}
	for _, test := range []struct {
		values   object
		has, not []string
	}{
		{object{}, []string{
			"rollout status deployment/" + release, "needs an AWS identity", "create-pod-identity-association", "clusterName is not set",
			"spec: {}", "namespace: default", "-n default wait --for=condition=Ready alep/orders", "keeps the CRDs",
		}, nil},
		{object{"serviceAccount": irsa, "clusterName": "prod"}, []string{"identity is " + role}, []string{"needs an AWS identity", "clusterName is not set"}},
		{object{"operator": object{"watchNamespace": []any{"shop"}}}, []string{"namespace: shop", "-n shop wait"}, []string{"default"}},
		{object{"crds": object{"keep": false}}, []string{"deletes the CRDs and with them every object"}, []string{"keeps the CRDs"}},
	} {
		text := notes(t, test.values)
		for _, part := range test.has {
			if !strings.Contains(text, part) {
				t.Errorf("%v: no %q in\n%s", test.values, part, text)
			}
		}
		for _, part := range test.not {
			if strings.Contains(text, part) {
				t.Errorf("%v: %q in\n%s", test.values, part, text)
			}
		}
	}
}

// kinds are those that the chart renders.
func kinds(t *testing.T, values object) []string {
	t.Helper()
	all, err := helm(t, values)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, name := range names(all) {
		found = append(found, strings.Fields(name)[0])
	}
	return found
}

func TestPartsOfTheChartComeAndGoByTheirValues(t *testing.T) {
	off, on := object{"enabled": false}, object{"enabled": true}
	byDefault := kinds(t, object{})
	for _, test := range []struct {
		kind            string
		isDefault       bool
		with, otherwise object
	}{
		{"PodDisruptionBudget", true, object{}, object{"podDisruptionBudget": off}},
		{"NetworkPolicy", true, object{}, object{"networkPolicy": off}},
		{"Service", true, object{}, object{"metrics": object{"service": off}}},
		{"CustomResourceDefinition", true, object{}, object{"crds": object{"install": false}}},
		{"ServiceAccount", true, object{}, object{"serviceAccount": object{"create": false, "name": "x"}}},
		{"ServiceMonitor", false, object{"metrics": object{"serviceMonitor": on}}, object{}},
		{"PodMonitor", false, object{"metrics": object{"podMonitor": on}}, object{}},
		{"PrometheusRule", false, object{"metrics": object{"prometheusRule": on}}, object{}},
		{"ConfigMap", false, object{"metrics": object{"dashboard": on}}, object{}},
	} {
		if slices.Contains(byDefault, test.kind) != test.isDefault {
			t.Errorf("by default there are %v", byDefault)
		}
		if !slices.Contains(kinds(t, test.with), test.kind) || slices.Contains(kinds(t, test.otherwise), test.kind) {
			t.Errorf("the values do not decide about the %s", test.kind)
		}
	}
	all, _ := helm(t, object{"metrics": object{"dashboard": on}})
	for name, value := range all {
		if !strings.HasPrefix(name, "ConfigMap") {
			continue
		}
		for _, text := range value["data"].(object) {
			got, want := parse[object](t, text.(string)), parse[object](t, read(t, "deploy/monitoring/dashboard.json"))
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s does not hold the dashboard", name)
			}
		}
	}
}

// pod is the Deployment's.
func pod(t *testing.T, values object) object {
	t.Helper()
	all, err := helm(t, values)
	if err != nil {
		t.Fatal(err)
	}
	deployment := all["Deployment "+namespace+"/"+release]
	return deployment["spec"].(object)["template"].(object)["spec"].(object)
}

func TestReplicasAreSpreadOverNodesAndZones(t *testing.T) {
	var keys []string
	for _, constraint := range pod(t, object{})["topologySpreadConstraints"].([]any) {
		keys = append(keys, constraint.(object)["topologyKey"].(string))
	}
	if !slices.Equal(keys, []string{"kubernetes.io/hostname", "topology.kubernetes.io/zone"}) {
		t.Errorf("spread by %v", keys)
	}
	if own := pod(t, object{"topologySpreadConstraints": []any{}})["topologySpreadConstraints"].([]any); len(own) > 0 {
		t.Errorf("an empty list does not end it: %v", own)
	}
}

// The benchmark measures, the chart reserves: 1,000 objects by request, 10,000 by limit, with a quarter on top at least and no waste.
func TestResourcesFollowTheBenchmark(t *testing.T) {
	row := regexp.MustCompile(`(?m)^\| resident memory, peak of creating \|.* ([0-9.]+) MiB \| ([0-9.]+) MiB \|$`)
	measured := row.FindStringSubmatch(read(t, "docs/benchmarks-table.md"))
	if measured == nil {
		t.Fatal("docs/benchmarks-table.md has no peak of memory with 1,000 and 10,000 objects")
	}
	resources := pod(t, object{})["containers"].([]any)[0].(object)["resources"].(object)
	for index, kind := range []string{"requests", "limits"} {
		peak, err := strconv.ParseFloat(measured[index+1], 64)
		if err != nil {
			t.Fatal(err)
		}
		given := resource.MustParse(resources[kind].(object)["memory"].(string))
		if mebibytes := given.AsApproximateFloat64() / (1 << 20); mebibytes < peak*1.25 || mebibytes > peak*3 {
			t.Errorf("%s are %.0f MiB, measured were %.1f", kind, mebibytes, peak)
		}
	}
}
