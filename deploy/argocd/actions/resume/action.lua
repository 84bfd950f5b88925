-- `false`, not unset: a spec left empty would come out of Lua as a list.
obj.spec.suspend = false
return obj
