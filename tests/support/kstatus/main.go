// Kstatus judges recorded objects by the library that Flux and Helm wait with, and by the health scripts for Argo CD:
//
//	go run . -scripts DIR -least N RECORDING
//
// A recording holds one object a line, as the API server sent it. The library is github.com/fluxcd/cli-utils: Flux's
// fork of sigs.k8s.io/cli-utils, where kstatus comes from, and what Helm 4 uses too.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"sort"
	"strings"

	"k8s.io/apimachinery/pkg/util/json"
)

// Of a condition Ready, by the reference. A recording that shows few of them proves little.
var reasons = []string{
	"InSync", "Progressing", "Suspended", "DriftDetected", "InvalidSpec", "Conflict", "IdentityChanged", "AccessDenied",
	"CredentialsInvalid", "Throttled", "LimitExceeded", "AccountNotReady", "NotPermitted", "AwsUnavailable",
	"DeletionBlocked",
}

// At most so many wrong objects are printed.
const shown = 10

func main() {
	dir := flag.String("scripts", "", "directory of the health scripts")
	least := flag.Int("least", 0, "how many reasons of Ready the recording must show")
	flag.Parse()
	if err := check(flag.Arg(0), *dir, *least); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func check(recording, dir string, least int) error {
	health, err := load(dir)
	if err != nil {
		return err
	}
	file, err := os.Open(recording)
	if err != nil {
		return err
	}
	defer file.Close()
	tally := newTally()
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
		found, wrong := judge(object, health)
		tally.add(found, wrong, lines.Text())
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return tally.report(least)
}

type tally struct {
	objects, wrong int
	statuses       map[string]int
	reasons        map[string]bool
	before         int // objects before their first status
}

func newTally() *tally {
	return &tally{statuses: map[string]int{}, reasons: map[string]bool{}}
}

func (t *tally) add(found facts, wrong []string, line string) {
	t.objects++
	t.statuses[found.kind+" "+string(found.kstatus())]++
	if ready, ok := found.conditions["Ready"]; ok {
		t.reasons[ready.reason] = true
	} else if len(found.conditions) == 0 && !found.observed && !found.deleting {
		t.before++
	}
	if len(wrong) == 0 {
		return
	}
	t.wrong++
	if t.wrong <= shown {
		fmt.Printf("wrong: %s\n  of %s\n", strings.Join(wrong, "; "), line)
	}
}

func (t *tally) report(least int) error {
	var covered, missing []string
	for _, reason := range reasons {
		if t.reasons[reason] {
			covered = append(covered, reason)
		} else {
			missing = append(missing, reason)
		}
	}
	fmt.Printf("%d recorded objects, %d of them before their first status\n", t.objects, t.before)
	for _, name := range sorted(t.statuses) {
		fmt.Printf("%7d  %s\n", t.statuses[name], name)
	}
	fmt.Printf("%d of %d reasons of Ready: %s\n", len(covered), len(reasons), strings.Join(covered, ", "))
	if len(missing) > 0 {
		fmt.Printf("not seen: %s\n", strings.Join(missing, ", "))
	}
	switch {
	case t.wrong > 0:
		return fmt.Errorf("%d of %d recorded objects are judged wrong", t.wrong, t.objects)
	case len(covered) < least:
		return fmt.Errorf("the recording shows %d reasons of Ready, fewer than %d: it proves too little", len(covered), least)
	case t.before == 0:
		return fmt.Errorf("the recording shows no object before its first status: it proves too little")
	}
	return nil
}

func sorted(counts map[string]int) []string {
	var names []string
	for name := range counts {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}
