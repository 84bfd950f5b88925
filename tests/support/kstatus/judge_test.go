package main

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/json"
)

const scriptsDir = "../../../deploy/argocd"

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
	health, err := load(scriptsDir)
	if err != nil {
		t.Fatal(err)
	}
	text := `{"apiVersion":"auroralogexport.dev/v1alpha1","kind":"AuroraLogExportPolicy","metadata":{"name":"a","generation":2},"spec":{},"status":` + status + `}`
	return judge(object(t, text), health)
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

func TestARecordingOfFewReasonsIsRefused(t *testing.T) {
	tally := newTally()
	found, wrong := judged(t, `{"observedGeneration":-1}`)
	tally.add(found, wrong, "")
	if err := tally.report(1); err == nil || !strings.Contains(err.Error(), "proves too little") {
		t.Error(err)
	}
	if err := tally.report(0); err != nil {
		t.Error(err)
	}
}
