package main

import (
	"fmt"

	"auroralogexport.dev/argolua"
	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// facts is what the expectations rest on, read without the help of any library.
type facts struct {
	kind       string
	deleting   bool
	observed   bool // status.observedGeneration is metadata.generation
	conditions map[string]condition
}

type condition struct {
	status, reason string
	observed       bool
}

func read(object map[string]any) (facts, error) {
	metadata, _ := object["metadata"].(map[string]any)
	generation, ok := metadata["generation"].(int64)
	if !ok {
		return facts{}, fmt.Errorf("no metadata.generation")
	}
	found := facts{conditions: map[string]condition{}}
	found.kind, _ = object["kind"].(string)
	_, found.deleting = metadata["deletionTimestamp"].(string)
	now, _ := object["status"].(map[string]any)
	seen, ok := now["observedGeneration"].(int64)
	if !ok {
		return facts{}, fmt.Errorf("no status.observedGeneration: the schema's default is missing")
	}
	found.observed = seen == generation
	conditions, _ := now["conditions"].([]any)
	for _, item := range conditions {
		fields, _ := item.(map[string]any)
		kind, _ := fields["type"].(string)
		text := func(key string) string { value, _ := fields[key].(string); return value }
		of, _ := fields["observedGeneration"].(int64)
		found.conditions[kind] = condition{text("status"), text("reason"), of == generation}
	}
	return found, nil
}

func (f facts) is(kind string) bool { return f.conditions[kind].status == "True" }

// kstatus is what the table in docs/reference.md promises.
func (f facts) kstatus() status.Status {
	switch {
	case f.deleting:
		return status.TerminatingStatus
	case !f.observed:
		return status.InProgressStatus
	case f.is("Stalled"):
		return status.FailedStatus
	case f.is("Ready"):
		return status.CurrentStatus
	default:
		return status.InProgressStatus
	}
}

// argo is what the same table promises of Argo CD.
func (f facts) argo() string {
	switch {
	case f.deleting || !f.observed:
		return "Progressing"
	case f.conditions["Ready"].reason == "Suspended":
		return "Suspended"
	case f.is("Stalled"):
		return "Degraded"
	case f.is("Ready"):
		return "Healthy"
	default:
		return "Progressing"
	}
}

// judge names everything that is wrong with one recorded object.
func judge(object map[string]any, script *argolua.Script) (facts, []string) {
	found, err := read(object)
	if err != nil {
		return found, []string{err.Error()}
	}
	var wrong []string
	complain := func(format string, arguments ...any) { wrong = append(wrong, fmt.Sprintf(format, arguments...)) }
	result, err := status.Compute(&unstructured.Unstructured{Object: object})
	if err != nil {
		complain("kstatus: %v", err)
		return found, wrong
	}
	if want := found.kstatus(); result.Status != want {
		complain("kstatus is %s, want %s (%s)", result.Status, want, result.Message)
	}
	ready := found.conditions["Ready"]
	if result.Status == status.CurrentStatus && (ready.status != "True" || !ready.observed || !found.observed) {
		complain("a wrong Current: Ready is %q, of this generation: %v", ready.status, ready.observed)
	}
	if found.is("Reconciling") && found.is("Stalled") {
		complain("Reconciling and Stalled are both true")
	}
	if got, err := health(script, object); err != nil {
		complain("health.lua: %v", err)
	} else if want := found.argo(); got != want {
		complain("health.lua says %s, want %s", got, want)
	}
	return found, wrong
}
