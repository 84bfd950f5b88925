package delivery

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	admissionPolicy  = "ValidatingAdmissionPolicy"
	admissionBinding = "ValidatingAdmissionPolicyBinding"
)

// ofKind lists the names of one kind.
func ofKind(all map[string]object, kind string) []string {
	var found []string
	for _, name := range names(all) {
		if strings.HasPrefix(name, kind+" ") {
			found = append(found, strings.TrimPrefix(name, kind+" <nil>/"))
		}
	}
	return found
}

// What refuses other people's manifests is offered and bound by nobody but the platform team.
func TestRulesForTeamsAreBoundByNobodyButThePlatformTeam(t *testing.T) {
	chart, err := helm(t, object{})
	if err != nil {
		t.Fatal(err)
	}
	defaults := map[string]map[string]object{"the chart": chart, "base": kustomize(t, "deploy/kustomize/base")}
	overlays, err := os.ReadDir(filepath.Join(root, "deploy/kustomize/overlays"))
	if err != nil || len(overlays) == 0 {
		t.Fatal(err, overlays)
	}
	for _, overlay := range overlays {
		path := "deploy/kustomize/overlays/" + overlay.Name()
		defaults[path] = kustomize(t, path)
	}
	for what, rendered := range defaults {
		for _, kind := range []string{admissionPolicy, admissionBinding} {
			if found := ofKind(rendered, kind); len(found) > 0 {
				t.Errorf("%s has %s %v", what, kind, found)
			}
		}
	}
	offered := kustomize(t, "deploy/admission/policies")
	if policies, bound := ofKind(offered, admissionPolicy), ofKind(offered, admissionBinding); len(policies) != 5 || len(bound) != 0 {
		t.Errorf("deploy/admission/policies has policies %v and bindings %v", policies, bound)
	}
	bound := kustomize(t, "deploy/admission/bindings")
	if want, got := ofKind(bound, admissionPolicy), ofKind(bound, admissionBinding); fmt.Sprint(want) != fmt.Sprint(got) {
		t.Errorf("deploy/admission/bindings has policies %v and bindings %v", want, got)
	}
}

// What holds the operator itself is there as soon as it may write ConfigMaps.
func TestTheRuleForConfigMapsIsBoundWheneverOutputsAreOn(t *testing.T) {
	chart, err := helm(t, object{"operator": object{"enableOutputs": true}})
	if err != nil {
		t.Fatal(err)
	}
	const name = "aurora-log-export-operator-outputs"
	for what, rendered := range map[string]map[string]object{
		"the chart": chart, "the component": kustomize(t, "deploy/kustomize/components/outputs"),
	} {
		for _, kind := range []string{admissionPolicy, admissionBinding} {
			if found := ofKind(rendered, kind); fmt.Sprint(found) != fmt.Sprint([]string{name}) {
				t.Errorf("%s has %s %v", what, kind, found)
			}
		}
		binding := rendered[admissionBinding+" <nil>/"+name]
		if binding == nil {
			continue
		}
		spec := binding["spec"].(object)
		if fmt.Sprint(spec["validationActions"]) != "[Deny]" || spec["matchResources"] != nil {
			t.Errorf("%s binds it as %v", what, spec)
		}
	}
	// Without outputs there is nothing to hold: no right to write ConfigMaps.
	chart, err = helm(t, object{})
	if err != nil {
		t.Fatal(err)
	}
	for what, rendered := range map[string]map[string]object{"base": kustomize(t, "deploy/kustomize/base"), "the chart": chart} {
		for id, value := range rendered {
			if strings.Contains(id, "Role ") && strings.Contains(fmt.Sprint(value["rules"]), "configmaps") {
				t.Errorf("%s lets %s at ConfigMaps", what, id)
			}
		}
	}
}

// None of our roles for people is aggregated into a role that others hold.
func TestRolesForPeopleAreAggregatedIntoNone(t *testing.T) {
	chart, err := helm(t, object{})
	if err != nil {
		t.Fatal(err)
	}
	for what, rendered := range map[string]map[string]object{"the chart": chart, "base": kustomize(t, "deploy/kustomize/base")} {
		found := ofKind(rendered, "ClusterRole")
		if len(found) != 4 {
			t.Errorf("%s has ClusterRoles %v", what, found)
		}
		for _, name := range found {
			labels := rendered["ClusterRole <nil>/"+name]["metadata"].(object)["labels"]
			if strings.Contains(fmt.Sprint(labels), "rbac.authorization.k8s.io/aggregate-to") {
				t.Errorf("%s: %s is aggregated: %v", what, name, labels)
			}
		}
	}
}
