-- Requests a reconcile. Any new value of the annotation does; a counter gives a new one for each click, also for two
-- within a second.
local key = "auroralogexport.dev/reconcile-at"
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
local last = tonumber(obj.metadata.annotations[key]) or 0
obj.metadata.annotations[key] = tostring(last + 1)
return obj
