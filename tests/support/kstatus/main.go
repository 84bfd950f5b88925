// Kstatus judges recorded objects by the library that Flux and Helm wait with, and by the health script for Argo CD:
//
//	go run . -health FILE -reference FILE RECORDING
//
// A recording holds one object a line, as the API server sent it. The library is github.com/fluxcd/cli-utils: Flux's
// fork of sigs.k8s.io/cli-utils, where kstatus comes from, and what Helm 4 uses too.
//
// A recording proves something only of what it shows: it must show every reason.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"sort"
	"strings"

	"auroralogexport.dev/argolua"
	"k8s.io/apimachinery/pkg/util/json"
)

// The reasons of condition Ready by kind: a closed set, each of which a recording must show.
var reasons = map[string][]string{
	"AuroraLogExportPolicy": {
		"InSync", "Progressing", "Suspended", "DriftDetected", "InvalidSpec", "Conflict", "IdentityChanged", "AccessDenied",
		"CredentialsInvalid", "Throttled", "LimitExceeded", "AccountNotReady", "NotPermitted", "AwsUnavailable",
		"DeletionBlocked",
	},
	"AwsAccount": {"InSync", "Progressing", "CredentialsInvalid", "AccessDenied", "AccountMismatch", "InUse"},
}

// At most so many wrong objects are printed.
const shown = 10

func main() {
	script := flag.String("health", "", "the health script")
	reference := flag.String("reference", "", "the page with the table of all reasons")
	flag.Parse()
	if err := check(flag.Arg(0), *script, *reference); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// health gives the status that the health script returns.
func health(script *argolua.Script, object map[string]any) (any, error) {
	answer, err := script.Run(object)
	if err != nil {
		return "", err
	}
	fields, _ := answer.(map[string]any)
	return fields["status"], nil
}

// vocabulary reads the reasons of conditions from the table of the reference.
func vocabulary(page string) ([]string, error) {
	text, err := os.ReadFile(page)
	if err != nil {
		return nil, err
	}
	_, section, _ := strings.Cut(string(text), "\n## Reasons\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var names []string
	for _, line := range strings.Split(section, "\n") {
		if rest, ok := strings.CutPrefix(line, "| `"); ok {
			name, _, _ := strings.Cut(rest, "`")
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s has no table of reasons", page)
	}
	return names, nil
}

func check(recording, health, reference string) error {
	script, err := argolua.Load(health)
	if err != nil {
		return err
	}
	known, err := vocabulary(reference)
	if err != nil {
		return err
	}
	file, err := os.Open(recording)
	if err != nil {
		return err
	}
	defer file.Close()
	tally := newTally(known)
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 4<<20)
	var broken error
	for lines.Scan() {
		// A run that was ended may have left half a line behind, but no more than the last.
		if broken != nil {
			return broken
		}
		var object map[string]any
		// This reader gives whole numbers as int64, as the libraries expect them.
		if err := json.Unmarshal(lines.Bytes(), &object); err != nil {
			broken = fmt.Errorf("line %d is no object: %w", tally.objects+1, err)
			continue
		}
		found, wrong := judge(object, script)
		tally.add(found, wrong, lines.Text())
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return tally.report()
}

type tally struct {
	objects, wrong int
	statuses       map[string]int
	ready          map[string]int // kind, and reason of Ready
	reasons        map[string]int // of any condition of either kind
	known          []string       // reasons, as the reference has them
	before         int            // objects before their first status
}

func newTally(known []string) *tally {
	return &tally{statuses: map[string]int{}, ready: map[string]int{}, reasons: map[string]int{}, known: known}
}

func (t *tally) add(found facts, wrong []string, line string) {
	t.objects++
	t.statuses[found.kind+" "+string(found.kstatus())]++
	if ready, ok := found.conditions["Ready"]; ok {
		t.ready[found.kind+" "+ready.reason]++
	} else if len(found.conditions) == 0 && !found.observed && !found.deleting {
		t.before++
	}
	for _, condition := range found.conditions {
		t.reasons[condition.reason]++
	}
	if len(wrong) == 0 {
		return
	}
	t.wrong++
	if t.wrong <= shown {
		fmt.Printf("wrong: %s\n  of %s\n", strings.Join(wrong, "; "), line)
	}
}

// missing are the names that were not counted; those that were are printed.
func missing(what string, names []string, count func(string) int) []string {
	var seen, not []string
	for _, name := range names {
		if times := count(name); times > 0 {
			seen = append(seen, fmt.Sprintf("%s (%d)", name, times))
		} else {
			not = append(not, what+" "+name)
		}
	}
	fmt.Printf("%s, %d of %d: %s\n", what, len(seen), len(names), strings.Join(seen, ", "))
	return not
}

func (t *tally) report() error {
	fmt.Printf("%d recorded objects, %d of them before their first status\n", t.objects, t.before)
	for _, name := range sorted(t.statuses) {
		fmt.Printf("%7d  %s\n", t.statuses[name], name)
	}
	var not []string
	for _, kind := range sorted(reasons) {
		count := func(reason string) int { return t.ready[kind+" "+reason] }
		not = append(not, missing("reason of Ready of "+kind, reasons[kind], count)...)
	}
	not = append(not, missing("reason of any condition", t.known, func(reason string) int { return t.reasons[reason] })...)
	for _, name := range t.known {
		delete(t.reasons, name)
	}
	switch {
	case t.wrong > 0:
		return fmt.Errorf("%d of %d recorded objects are judged wrong", t.wrong, t.objects)
	case len(t.reasons) > 0:
		return fmt.Errorf("the recording has reasons that the reference has not: %s", strings.Join(sorted(t.reasons), ", "))
	case len(not) > 0:
		return fmt.Errorf("the recording proves too little, it does not show: %s", strings.Join(not, "; "))
	case t.before == 0:
		return fmt.Errorf("the recording proves too little, it shows no object before its first status")
	}
	return nil
}

func sorted[V any](counts map[string]V) []string {
	var names []string
	for name := range counts {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}
