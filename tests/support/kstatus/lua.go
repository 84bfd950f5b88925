package main

import (
	"fmt"
	"os"
	"path/filepath"

	lua "github.com/yuin/gopher-lua"
	"github.com/yuin/gopher-lua/parse"
)

// scripts are the health scripts of deploy/argocd by kind, compiled once.
type scripts struct {
	compiled map[string]*lua.FunctionProto
}

func load(dir string) (*scripts, error) {
	loaded := &scripts{map[string]*lua.FunctionProto{}}
	for kind, name := range map[string]string{"AuroraLogExportPolicy": "health.lua", "AwsAccount": "awsaccount/health.lua"} {
		file, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		chunk, err := parse.Parse(file, name)
		file.Close()
		if err != nil {
			return nil, err
		}
		if loaded.compiled[kind], err = lua.Compile(chunk, name); err != nil {
			return nil, err
		}
	}
	return loaded, nil
}

// run gives the status that the script of this kind returns, with the libraries that Argo CD grants.
func (s *scripts) run(kind string, object map[string]any) (string, error) {
	script, ok := s.compiled[kind]
	if !ok {
		return "", fmt.Errorf("no script for kind %q", kind)
	}
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for name, open := range map[string]lua.LGFunction{lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable} {
		state.Push(state.NewFunction(open))
		state.Push(lua.LString(name))
		state.Call(1, 0)
	}
	state.SetGlobal("obj", value(state, object))
	state.Push(state.NewFunctionFromProto(script))
	if err := state.PCall(0, 1, nil); err != nil {
		return "", err
	}
	answer, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		return "", fmt.Errorf("the script returned no table")
	}
	return answer.RawGetString("status").String(), nil
}

func value(state *lua.LState, from any) lua.LValue {
	switch from := from.(type) {
	case map[string]any:
		table := state.NewTable()
		for key, item := range from {
			table.RawSetString(key, value(state, item))
		}
		return table
	case []any:
		table := state.NewTable()
		for _, item := range from {
			table.Append(value(state, item))
		}
		return table
	case string:
		return lua.LString(from)
	case bool:
		return lua.LBool(from)
	case int64:
		return lua.LNumber(from)
	case float64:
		return lua.LNumber(from)
	default:
		return lua.LNil
	}
}
