-- `false`, not unset: Lua returns an empty spec as a list.
obj.spec.suspend = false
return obj
