package delivery

import (
	"fmt"
	"reflect"
	"testing"

	lua "github.com/yuin/gopher-lua"
)

// toLua makes a Lua value of a parsed YAML value.
func toLua(state *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case object:
		table := state.NewTable()
		for key, item := range value {
			table.RawSetString(key, toLua(state, item))
		}
		return table
	case []any:
		table := state.NewTable()
		for _, item := range value {
			table.Append(toLua(state, item))
		}
		return table
	case string:
		return lua.LString(value)
	case bool:
		return lua.LBool(value)
	case float64:
		return lua.LNumber(value)
	case nil:
		return lua.LNil
	default:
		panic(fmt.Sprintf("%T in a test file", value))
	}
}

// fromLua is the inverse; an empty table becomes an empty map.
func fromLua(value lua.LValue) any {
	switch value := value.(type) {
	case *lua.LTable:
		if value.Len() > 0 {
			var items []any
			for i := 1; i <= value.Len(); i++ {
				items = append(items, fromLua(value.RawGetInt(i)))
			}
			return items
		}
		fields := object{}
		value.ForEach(func(key, item lua.LValue) { fields[key.String()] = fromLua(item) })
		return fields
	case lua.LString:
		return string(value)
	case lua.LBool:
		return bool(value)
	case lua.LNumber:
		return float64(value)
	default:
		return nil
	}
}

// run executes a script with the libraries that Argo CD grants: no strings, no files, no modules.
func run(t *testing.T, script string, obj object) any {
	t.Helper()
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for name, open := range map[string]lua.LGFunction{lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable} {
		state.Push(state.NewFunction(open))
		state.Push(lua.LString(name))
		state.Call(1, 0)
	}
	state.SetGlobal("obj", toLua(state, obj))
	if err := state.DoString(read(t, "deploy/argocd/"+script)); err != nil {
		t.Fatal(err)
	}
	return fromLua(state.Get(-1))
}

func TestHealth(t *testing.T) {
	for _, folder := range []string{"", "awsaccount/"} {
		tests := parse[struct {
			Tests []struct {
				InputPath    string
				HealthStatus object
			}
		}](t, read(t, "deploy/argocd/"+folder+"health_test.yaml"))
		if len(tests.Tests) == 0 {
			t.Errorf("no tests for %q", folder)
		}
		for _, test := range tests.Tests {
			t.Run(folder+test.InputPath, func(t *testing.T) {
				obj := parse[object](t, read(t, "deploy/argocd/"+folder+test.InputPath))
				if got := run(t, folder+"health.lua", obj); !reflect.DeepEqual(got, any(test.HealthStatus)) {
					t.Errorf("got %v, want %v", got, test.HealthStatus)
				}
			})
		}
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
