-- Health of an AuroraLogExportPolicy or an AwsAccount. It is `Healthy` only if the operator has reconciled the current
-- generation.
local function condition(kind)
  if obj.status ~= nil and obj.status.conditions ~= nil then
    for _, candidate in ipairs(obj.status.conditions) do
      if candidate.type == kind then
        return candidate
      end
    end
  end
  return nil
end

local function health(status, message)
  return { status = status, message = message }
end

local ready = condition("Ready")
local message = ready ~= nil and ready.message or nil

-- Argo CD reports objects that are being deleted without running a script; this is for other callers.
if obj.metadata.deletionTimestamp ~= nil then
  if ready ~= nil and (ready.reason == "DeletionBlocked" or ready.reason == "InUse") then
    return health("Progressing", message)
  end
  if obj.kind == "AwsAccount" then
    return health("Progressing", "Waiting for policies that refer to this account")
  end
  return health("Progressing", "Policy and role are being removed from AWS")
end

-- The schema gives a new object observedGeneration -1. A condition of an older generation does not count.
if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation or ready == nil
  or (ready.observedGeneration ~= nil and ready.observedGeneration ~= obj.metadata.generation) then
  return health("Progressing", "Waiting for the operator to reconcile this generation")
end

if ready.reason == "Suspended" then
  return health("Suspended", message)
end
local stalled = condition("Stalled")
if stalled ~= nil and stalled.status == "True" then
  return health("Degraded", stalled.message or message)
end
local reconciling = condition("Reconciling")
if reconciling ~= nil and reconciling.status == "True" then
  return health("Progressing", message or reconciling.message)
end
if ready.status == "True" then
  return health("Healthy", message)
end
return health("Progressing", message)
