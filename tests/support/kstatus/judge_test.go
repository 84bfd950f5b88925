package main

import (
	"slices"
	"strings"
	"testing"

	"auroralogexport.dev/argolua"
	"k8s.io/apimachinery/pkg/util/json"
)

func object(t *testing.T, text string) map[string]any {
	t.Helper()
	var parsed map[string]any
	if err := json.Unmarshal([]byte(text), &parsed); err != nil {
		t.Fatal(err)
	}
	return parsed
}

// status is that of an object of generation 2.
func judged(t *testing.T, status string) (facts, []string) {
	t.Helper()
	script, err := argolua.Load("../../../deploy/argocd/health.lua")
	if err != nil {
		t.Fatal(err)
	}
	text := `{"apiVersion":"auroralogexport.dev/v1alpha1","kind":"AuroraLogExportPolicy","metadata":{"name":"a","generation":2},"spec":{},"status":` + status + `}`
	return judge(object(t, text), script)
}

func TestStatusesAreExpectedAsDocumented(t *testing.T) {
	for status, want := range map[string]string{
		`{"observedGeneration":-1}`: "InProgress",
		`{"observedGeneration":2,"conditions":[{"type":"Ready","status":"True","reason":"InSync","observedGeneration":2}]}`:                                                                                       "Current",
		`{"observedGeneration":1,"conditions":[{"type":"Ready","status":"True","reason":"InSync","observedGeneration":1}]}`:                                                                                       "InProgress",
		`{"observedGeneration":2,"conditions":[{"type":"Ready","status":"False","reason":"Conflict","observedGeneration":2},{"type":"Stalled","status":"True","reason":"Conflict","observedGeneration":2}]}`:      "Failed",
		`{"observedGeneration":2,"conditions":[{"type":"Ready","status":"False","reason":"Throttled","observedGeneration":2},{"type":"Reconciling","status":"True","reason":"Retrying","observedGeneration":2}]}`: "InProgress",
	} {
		found, wrong := judged(t, status)
		if got := string(found.kstatus()); got != want || len(wrong) > 0 {
			t.Errorf("%s: %s, want %s; %v", status, got, want, wrong)
		}
	}
}

func TestWrongStatusesAreFound(t *testing.T) {
	for status, want := range map[string]string{
		// kstatus says Current of what has neither condition.
		`{"observedGeneration":2}`: "wrong Current",
		`{"observedGeneration":2,"conditions":[{"type":"Ready","status":"True","reason":"InSync","observedGeneration":1}]}`:                                                                                      "wrong Current",
		`{"observedGeneration":2,"conditions":[{"type":"Ready","status":"True","reason":"InSync","observedGeneration":2},{"type":"Reconciling","status":"True","reason":"Progressing","observedGeneration":2}]}`: "kstatus is InProgress, want Current",
		`{"observedGeneration":2,"conditions":[{"type":"Ready","status":"False","reason":"Conflict","observedGeneration":2},{"type":"Stalled","status":"True"},{"type":"Reconciling","status":"True"}]}`:         "both true",
		`{}`: "the schema's default is missing",
	} {
		if _, wrong := judged(t, status); !strings.Contains(strings.Join(wrong, "; "), want) {
			t.Errorf("%s: %v, want %q", status, wrong, want)
		}
	}
}

// showing is a tally of objects with these reasons of Ready, and of one before its first status.
func showing(t *testing.T, known []string, shown map[string][]string) *tally {
	t.Helper()
	tally := newTally(known)
	found, wrong := judged(t, `{"observedGeneration":-1}`)
	tally.add(found, wrong, "")
	for kind, reasons := range shown {
		for _, reason := range reasons {
			tally.add(facts{kind: kind, conditions: map[string]condition{"Ready": {reason: reason}}}, nil, "")
		}
	}
	return tally
}

func TestARecordingMustShowEveryReason(t *testing.T) {
	known, err := vocabulary("../../../docs/reference.md")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{"AuroraLogExportPolicy": append([]string{}, known...), "AwsAccount": reasons["AwsAccount"]}
	if err := showing(t, known, all).report(); err != nil {
		t.Error(err)
	}
	few := map[string][]string{"AuroraLogExportPolicy": known, "AwsAccount": reasons["AwsAccount"][1:]}
	if err := showing(t, known, few).report(); err == nil || !strings.HasSuffix(err.Error(), "of Ready of AwsAccount InSync") {
		t.Error(err)
	}
	lacking := func(name string) []string {
		var rest []string
		for _, reason := range known {
			if reason != name {
				rest = append(rest, reason)
			}
		}
		return rest
	}
	// A reason that only other conditions have.
	few = map[string][]string{"AuroraLogExportPolicy": lacking("ImmutableInAws"), "AwsAccount": reasons["AwsAccount"]}
	if err := showing(t, known, few).report(); err == nil || !strings.HasSuffix(err.Error(), "condition ImmutableInAws") {
		t.Error(err)
	}
	if err := showing(t, lacking("Suspended"), all).report(); err == nil || !strings.Contains(err.Error(), "has not: Suspended") {
		t.Error(err)
	}
	for kind, names := range reasons {
		for _, name := range names {
			if !slices.Contains(known, name) {
				t.Errorf("the reference has no reason %s, which %s can have", name, kind)
			}
		}
	}
}
