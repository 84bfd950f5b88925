-- Asks the operator to look at AWS now. Any new value of the annotation does; counting gives a new one at every
-- click, also for two within a second.
local key = "auroralogexport.dev/reconcile-at"
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
local last = tonumber(obj.metadata.annotations[key]) or 0
obj.metadata.annotations[key] = tostring(last + 1)
return obj
