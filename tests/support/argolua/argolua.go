// Package argolua runs scripts of deploy/argocd as Argo CD runs them: with its interpreter, and no libraries but those
// that it grants. The tests of deploy/ and the judge of recorded statuses share it.
package argolua

import (
	"fmt"
	"os"

	lua "github.com/yuin/gopher-lua"
	"github.com/yuin/gopher-lua/parse"
)

// Script is compiled once and may be run often.
type Script struct{ proto *lua.FunctionProto }

// Load reads and compiles a file.
func Load(path string) (*Script, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	chunk, err := parse.Parse(file, path)
	if err != nil {
		return nil, err
	}
	proto, err := lua.Compile(chunk, path)
	if err != nil {
		return nil, err
	}
	return &Script{proto}, nil
}

// Run gives what the script returns for an object: maps, slices, strings, booleans and float64, as JSON has them.
func (s *Script) Run(object map[string]any) (any, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for name, open := range map[string]lua.LGFunction{lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable} {
		state.Push(state.NewFunction(open))
		state.Push(lua.LString(name))
		state.Call(1, 0)
	}
	value, err := toLua(state, object)
	if err != nil {
		return nil, err
	}
	state.SetGlobal("obj", value)
	state.Push(state.NewFunctionFromProto(s.proto))
	if err := state.PCall(0, 1, nil); err != nil {
		return nil, err
	}
	return fromLua(state.Get(-1)), nil
}

func toLua(state *lua.LState, value any) (lua.LValue, error) {
	switch value := value.(type) {
	case map[string]any:
		table := state.NewTable()
		for key, item := range value {
			item, err := toLua(state, item)
			if err != nil {
				return nil, err
			}
			table.RawSetString(key, item)
		}
		return table, nil
	case []any:
		table := state.NewTable()
		for _, item := range value {
			item, err := toLua(state, item)
			if err != nil {
				return nil, err
			}
			table.Append(item)
		}
		return table, nil
	case string:
		return lua.LString(value), nil
	case bool:
		return lua.LBool(value), nil
	case int64:
		return lua.LNumber(value), nil
	case float64:
		return lua.LNumber(value), nil
	case nil:
		return lua.LNil, nil
	default:
		return nil, fmt.Errorf("no JSON has a %T", value)
	}
}

// An empty table becomes an empty map.
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
		fields := map[string]any{}
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
