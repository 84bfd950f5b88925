package delivery

import (
	"path/filepath"
	"reflect"
	"testing"

	"auroralogexport.dev/argolua"
)

// run executes a script of deploy/argocd.
func run(t *testing.T, script string, obj object) any {
	t.Helper()
	loaded, err := argolua.Load(filepath.Join(root, "deploy/argocd", script))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := loaded.Run(obj)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestHealth(t *testing.T) {
	const folder = "deploy/argocd/"
	tests := parse[struct {
		Tests []struct {
			InputPath    string
			HealthStatus object
		}
	}](t, read(t, folder+"health_test.yaml"))
	if len(tests.Tests) == 0 {
		t.Fatal("no tests of health")
	}
	for _, test := range tests.Tests {
		t.Run(test.InputPath, func(t *testing.T) {
			obj := parse[object](t, read(t, folder+test.InputPath))
			if got := run(t, "health.lua", obj); !reflect.DeepEqual(got, any(test.HealthStatus)) {
				t.Errorf("got %v, want %v", got, test.HealthStatus)
			}
		})
	}
}

func TestActions(t *testing.T) {
	const folder = "deploy/argocd/actions/"
	tests := parse[struct {
		DiscoveryTests []struct {
			InputPath string
			Result    []struct {
				Name     string
				Disabled bool
			}
		}
		ActionTests []struct{ Action, InputPath, ExpectedOutputPath string }
	}](t, read(t, folder+"action_test.yaml"))
	if len(tests.DiscoveryTests) == 0 || len(tests.ActionTests) == 0 {
		t.Fatal("no tests of actions")
	}
	for _, test := range tests.DiscoveryTests {
		want := object{}
		for _, action := range test.Result {
			want[action.Name] = object{"disabled": action.Disabled}
		}
		obj := parse[object](t, read(t, folder+test.InputPath))
		if got := run(t, "actions/discovery.lua", obj); !reflect.DeepEqual(got, any(want)) {
			t.Errorf("%s: got %v, want %v", test.InputPath, got, want)
		}
	}
	for _, test := range tests.ActionTests {
		obj := parse[object](t, read(t, folder+test.InputPath))
		want := parse[object](t, read(t, folder+test.ExpectedOutputPath))
		if got := run(t, "actions/"+test.Action+"/action.lua", obj); !reflect.DeepEqual(got, any(want)) {
			t.Errorf("%s of %s: got %v, want %v", test.Action, test.InputPath, got, want)
		}
	}
}
